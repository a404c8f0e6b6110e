import { existsSync } from 'node:fs'
import { parseImageReference } from '../../api/image-reference.ts'
import type { EnvironmentSpec } from '../../api/kinds/environment.ts'
import type { EnvironmentClassSpec } from '../../api/kinds/environment-class.ts'
import type { UnpackedImage } from '../../core/driver.ts'
import type { ImageStore, OnProgress } from '../../core/images.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { toFault } from '../../lib/fault.ts'
import { type MakeRoom, orMakeRoom } from './make-room.ts'
import type { EnvironmentRecord } from './record.ts'

/** The image of an environment, and why, if it is not the one that was asked for. */
export type ChosenImage = NonNullable<EnvironmentRecord['image']>

export interface Images {
  /** The image if it is on this host already; asks nobody. */
  find(wanted: Wanted): Promise<ChosenImage | undefined>
  /** Faults as `ImageStore.ensure` does. */
  ensure(wanted: Wanted, onProgress: OnProgress, signal: AbortSignal): Promise<ChosenImage>
  /** The start of the environment with that uid is over, one way or another: its record names the image, or nothing does. */
  release(uid: string): void
  /** Digests of what was handed out to starts that are under way. */
  inFlight(): Iterable<string>
}

export interface Wanted {
  readonly spec: Pick<EnvironmentSpec, 'image'>
  readonly environmentClass: EnvironmentClassSpec
  /** Of earlier starts: what is on the disk lies on top of that image and of no other. */
  readonly record: EnvironmentRecord
}

// While a registry is known to be out of reach, environments do not wait for it again one by one.
const UNREACHABLE_MS: Millis = 5 * 60_000

export interface ImagesOptions {
  readonly store: ImageStore
  readonly clock: Clock
  readonly makeRoom: MakeRoom
  /** An image may have come that was not here before. */
  readonly onFetched: () => void
}

/**
 * Decides between the image asked for and the class's fallback, which stands in only where the environment itself names
 * no image, and only when the registry cannot be reached: a wrong name or missing credentials are to be seen.
 */
export function createImages({ store, clock, makeRoom, onFetched }: ImagesOptions): Images {
  const held = new Map<string, string>()
  const hold = ({ record }: Wanted, image: ChosenImage): ChosenImage => {
    held.set(record.uid, image.digest)
    return image
  }

  const unreachable = new Map<string, { readonly untilMs: Millis; readonly why: string }>()

  const choices = ({ spec, environmentClass, record }: Wanted) => {
    if (record.image !== undefined) {
      const { fallback, reference } = record.image
      return { reference, fallback: undefined, told: fallback }
    }
    const fallback = spec.image === undefined ? environmentClass.fallbackImage : undefined
    return { reference: spec.image ?? environmentClass.image, fallback, told: undefined }
  }
  const known = (reference: string): string | undefined => {
    const verdict = unreachable.get(reference)
    return verdict !== undefined && verdict.untilMs > clock.now() ? verdict.why : undefined
  }

  const find = async (wanted: Wanted): Promise<ChosenImage | undefined> => {
    const { record } = wanted
    // The very directories of the first start: a tag may have moved meanwhile.
    if (record.image?.layers.every(layer => existsSync(layer)))
      return chosen(record.image, record.image.fallback)
    const { reference, fallback, told } = choices(wanted)
    const image = await store.find(parseImageReference(reference))
    if (image !== undefined) return chosen(image, told)
    const why = known(reference)
    if (fallback === undefined || why === undefined) return undefined
    const substitute = await store.find(parseImageReference(fallback))
    return substitute && chosen(substitute, why)
  }
  const ensure: Images['ensure'] = async (wanted, onProgress, signal) => {
    const { reference, fallback, told } = choices(wanted)
    try {
      const image = await orMakeRoom(
        () => store.ensure(parseImageReference(reference), onProgress, signal),
        makeRoom,
      )
      unreachable.delete(reference)
      return chosen(image, told)
    } catch (error) {
      const fault = toFault(error)
      if (fallback === undefined || fault.reason !== 'unavailable') throw error
      const why = `${fault.message}`
      unreachable.set(reference, { untilMs: clock.now() + UNREACHABLE_MS, why })
      onProgress(`${why}; using ${fallback} instead`)
      return chosen(await store.ensure(parseImageReference(fallback), onProgress, signal), why)
    }
  }
  return {
    async find(wanted) {
      const image = await find(wanted)
      return image && hold(wanted, image)
    },
    async ensure(wanted, onProgress, signal) {
      const image = hold(wanted, await ensure(wanted, onProgress, signal))
      onFetched()
      return image
    },
    release: uid => void held.delete(uid),
    inFlight: () => held.values(),
  }
}

function chosen(image: UnpackedImage, fallback: string | undefined): ChosenImage {
  const { reference, digest, layers, env, workingDir, user, init } = image
  const plain = {
    ...{ reference, digest, layers: [...layers], env: [...env], workingDir, user },
    ...(init === undefined ? {} : { init: [...init] }),
  }
  return fallback === undefined ? plain : { ...plain, fallback }
}
