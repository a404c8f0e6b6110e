// What keepers do with their disks when they are asked; see `keep` at the head of keeper.pl.
import { createConnection, type Socket } from 'node:net'
import { aborted } from '../../lib/aborted.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'

/** Longest that a disk stays frozen, whatever becomes of us. */
const FREEZE_MS: Millis = 5_000
// A keeper answers at once; a sync of many dirty pages, a trim or a resize takes as long as it takes.
const ANSWER_MS: Millis = 120_000

/**
 * Calls `work` while nothing is written to the disk of that keeper's sandbox, and says for how long nothing was. Faults
 * with `unavailable` when there is no such keeper (the sandbox ended meanwhile), or when `work` took longer than a disk
 * may be frozen: its result is of no use then.
 */
export async function whileFrozen<T>(
  socketPath: string,
  work: () => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
  maxMs: Millis = FREEZE_MS,
): Promise<{ readonly result: T; readonly pausedMs: Millis }> {
  const keeper = await connect(socketPath)
  try {
    const frozen = await keeper.ask(`freeze ${maxMs}`, clock, signal)
    if (frozen !== 'frozen') throw refused(frozen)
    const result = await work()
    const answer = await keeper.ask('thaw', clock, signal)
    const [word, ms] = answer.split(' ')
    if (word === 'thawed') return { result, pausedMs: Number(ms) }
    throw new Fault('unavailable', 'freeze-over', `work on a frozen disk: it took longer than ${maxMs} ms`, {
      hint: 'the pool is very busy; it is tried again',
    })
  } finally {
    // A keeper whose asker goes thaws.
    keeper.close()
  }
}

/** Gives back what is free inside; bytes that the file system let go. */
export async function trimDisk(socketPath: string, clock: Clock, signal: AbortSignal): Promise<number> {
  const [word, bytes] = (await askOnce(socketPath, 'trim', clock, signal)).split(' ')
  return word === 'trimmed' ? Number(bytes) : 0
}

/** Makes image and file system so large; done to its end even if we are not there to hear of it. */
export async function growDisk(
  socketPath: string,
  sizeBytes: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const answer = await askOnce(socketPath, `grow ${sizeBytes}`, clock, signal)
  if (answer === 'grown') return
  if (!answer.endsWith('Operation not permitted')) throw refused(answer)
  const hint = 'stop and start the environment: then it grows'
  throw new Fault('unsupported', 'disk-grows-later', 'grow a disk that is in use: this host lets nobody', {
    hint,
  })
}

async function askOnce(socketPath: string, what: string, clock: Clock, signal: AbortSignal): Promise<string> {
  const keeper = await connect(socketPath)
  try {
    return await keeper.ask(what, clock, signal)
  } finally {
    keeper.close()
  }
}

interface Keeper {
  ask(line: string, clock: Clock, signal: AbortSignal): Promise<string>
  close(): void
}

async function connect(path: string): Promise<Keeper> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const made = createConnection(path)
    made.once('connect', () => resolve(made))
    made.once('error', cause => reject(gone(cause)))
  })
  // Not readline: its lines do not end when a socket is destroyed by an error.
  const lines: string[] = []
  let rest = ''
  let isOver = false
  let wake = () => {}
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    wake()
  })
  socket.on('error', () => undefined) // 'close' follows.
  socket.once('close', () => {
    isOver = true
    wake()
  })
  const next = async (): Promise<string> => {
    while (lines.length === 0) {
      if (isOver) throw gone()
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
    return lines.shift() as string
  }
  return {
    async ask(line, clock, signal) {
      socket.write(`${line}\n`)
      const over = new AbortController()
      const late = clock.sleep(ANSWER_MS, over.signal).then(() => undefined)
      late.catch(() => undefined) // Answered in time.
      try {
        const answered = next()
        answered.catch(() => undefined) // Too late, or told below.
        const answer = await Promise.race([answered, late, aborted(AbortSignal.any([signal, over.signal]))])
        signal.throwIfAborted()
        if (answer === undefined) {
          const hint = 'a keeper that was started by an older version cannot; stop and start the environment'
          throw new Fault('unavailable', 'keeper-silent', `ask the keeper to ${line}: no answer`, { hint })
        }
        return answer
      } finally {
        over.abort()
      }
    },
    close: () => socket.destroy(),
  }
}

const gone = (cause?: unknown) =>
  new Fault('unavailable', 'keeper-gone', 'ask the keeper of a disk: the sandbox has ended', { cause })

const refused = (answer: string) =>
  new Fault('unavailable', 'keeper-refused', `ask the keeper of a disk: ${answer}`, {
    hint: 'try again; if it stays so, stop and start the environment',
  })
