import { pipeline, Transform } from 'node:stream'
import type { Key, Resource } from '../../api/resource.ts'
import type { Millis } from '../../lib/clock.ts'
import { Fault, REASONS, toFault } from '../../lib/fault.ts'
import type { Deps, Session } from '../deps.ts'
import { formatBytes } from '../output/duration.ts'
import type { Progress } from '../wait/display.ts'
import { awaitsUpload } from '../wait/outcome.ts'
import type { Bundle } from './bundle.ts'

const ATTEMPTS = 5
const RETRY_MS: Millis = 1_000

/** Sends a bundle as soon as the environment waits for it, beside whoever watches the environment. */
export class Upload {
  readonly #session: Session
  readonly #clock: Deps['clock']
  readonly #key: Key<'Environment'>
  readonly #bundle: Bundle
  readonly #stop = new AbortController()
  readonly #failed = new AbortController()
  #running: Promise<void> | undefined
  #sentBytes = 0
  #isSent = false

  constructor(session: Session, clock: Deps['clock'], key: Key<'Environment'>, bundle: Bundle) {
    this.#session = session
    this.#clock = clock
    this.#key = key
    this.#bundle = bundle
  }

  /** Aborts when the files cannot be sent, with the fault as its reason. */
  get failed(): AbortSignal {
    return this.#failed.signal
  }

  get isSent(): boolean {
    return this.#isSent
  }

  /** To be told each state of the environment; answers what to show while sending. */
  observe(environment: Resource<'Environment'>): Progress | undefined {
    if (this.#running === undefined && awaitsUpload(environment)) {
      this.#running = this.#send().catch((error: unknown) => this.#failed.abort(toFault(error)))
    }
    if (this.#running === undefined || this.#isSent) return undefined
    return { once: 'sending files', live: () => `sending files: ${formatBytes(this.#sentBytes)}` }
  }

  /** Ends the sending, if it still goes on. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #send(): Promise<void> {
    const { signal } = this.#stop
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#sendOnce(signal)
        this.#isSent = true
        return
      } catch (error) {
        const fault = toFault(error)
        if (signal.aborted) return
        if (attempt === ATTEMPTS || REASONS[fault.reason].retry !== 'backoff')
          throw asUploadFault(fault, this.#key)
        await this.#clock.sleep(RETRY_MS, signal)
      }
    }
  }

  async #sendOnce(signal: AbortSignal): Promise<void> {
    const grant = await this.#session.entrance(this.#key, 'content')
    this.#sentBytes = 0
    const count = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        this.#sentBytes += chunk.length
        done(null, chunk)
      },
    })
    const source = this.#bundle.open(signal)
    // Whoever breaks, both end; what broke is told by whoever reads the end of it.
    pipeline(source, count, () => undefined)
    await this.#session.uploadContent(grant, count, signal)
  }
}

function asUploadFault(fault: Fault, key: Key): Fault {
  return new Fault(fault.reason, 'upload-failed', `send files to environment ${key.name}: ${fault.message}`, {
    cause: fault,
    hint: fault.hint ?? `the environment waits for them; delete it: bothy env delete ${key.name}`,
  })
}
