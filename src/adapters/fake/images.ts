import type { ImageReference } from '../../api/image-reference.ts'
import type { UnpackedImage } from '../../core/driver.ts'
import type { ImageStore } from '../../core/images.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'

/** What the image store does wrong; read at every call. */
export interface ImageMisbehaviour {
  /** How long an image takes to arrive, with a word of progress each time a tenth of it is over. */
  delayMs?: Millis
  /** It begins, and then nothing is heard any more. */
  hang?: boolean
  fail?: (reference: string) => Fault | undefined
}

/** Images for the fake driver, whose sandboxes need none: every name exists, and arrives when asked for. */
export function createFakeImageStore({
  clock,
  misbehave = {},
}: {
  readonly clock: Clock
  readonly misbehave?: ImageMisbehaviour
}): ImageStore {
  const here = new Map<string, UnpackedImage>()
  const stored = ([reference, { digest }]: [string, UnpackedImage]) => ({
    ...{ digest, references: [reference], bytes: 2 ** 20 },
    usedMs: clock.now(),
  })
  return {
    async collect({ used }) {
      const gone = [...here].filter(([, { digest }]) => !used.has(digest))
      for (const [name] of gone) here.delete(name)
      return gone.map(stored)
    },
    list: async () => [...here].map(stored),
    find: async reference => here.get(nameOf(reference)),
    async ensure(reference, onProgress, signal) {
      const name = nameOf(reference)
      const known = here.get(name)
      if (known !== undefined) return known
      onProgress(`fetching ${name}`)
      const cancelled = (cause: unknown) => {
        throw new Fault('cancelled', 'image-cancelled', `fetch ${name}: cancelled`, { cause })
      }
      if (misbehave.hang === true) await clock.sleep(2 ** 31 - 1, signal).catch(cancelled)
      const { delayMs = 0 } = misbehave
      for (let tenth = 1; delayMs > 0 && tenth <= 10; tenth++) {
        await clock.sleep(delayMs / 10, signal).catch(cancelled)
        onProgress(`fetching ${name}: ${tenth}0 %`)
      }
      const fault = misbehave.fail?.(name)
      if (fault !== undefined) throw fault
      const digest = `sha256:${Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64)}`
      const image = { reference: name, digest, layers: [], env: [], workingDir: '/workspaces', user: '0' }
      here.set(name, image)
      return image
    },
  }
}

function nameOf(reference: ImageReference): string {
  switch (reference.kind) {
    case 'registry':
      return reference.reference
    case 'archive':
      return `${reference.format}:${reference.name}`
    case 'bootstrap':
      return `bootstrap:${reference.suite}`
  }
}
