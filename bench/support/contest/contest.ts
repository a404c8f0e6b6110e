// Who is compared: environments, containers with a fixed share of the processors each, plain containers; with a person
// at the first machine of each.
import { cpus } from 'node:os'
import { join } from 'node:path'
import { ROOT } from '../../../src/main/paths.ts'
import { startDocker } from '../docker.ts'
import { type BenchStack, startStack } from '../stack.ts'
import type { Samples } from '../stats.ts'
import { bothyMachines } from './bothy.ts'
import { compilerImage } from './compiler-image.ts'
import type { Contestant } from './contestant.ts'
import { type DockerMachines, dockerMachines } from './docker-machines.ts'
import { type Person, sitDown } from './keys.ts'
import { takePriority } from './priority.ts'

export const CORES = cpus().length
/** Compilers at a time in each machine: all cores twice. */
export const JOBS = CORES * 2
export const RESULTS = join(ROOT, 'bench/results')

export interface Variant {
  readonly name: 'quota' | 'docker' | 'bothy'
  readonly contestant: Contestant
  readonly person: Person
  /** Called before each measurement with the most cores that one machine gets where there are such quotas. */
  readonly prepare: (quotaCores: number) => Promise<void>
}

/** Opens `count` machines of each, calls `use`, and leaves nothing behind. */
export async function contest(
  count: number,
  use: (variants: readonly Variant[], stack: BenchStack) => Promise<void>,
): Promise<void> {
  const stack = await startStack()
  try {
    const image = await compilerImage()
    const docker = await startDocker(image.layers[0] ?? '')
    try {
      const containers = await dockerMachines(docker, count)
      const bothy = await bothyMachines(stack, image.reference, count)
      // Not before: what this process has started would be in its group.
      const leavePriority = await takePriority()
      try {
        const variants = await variantsOf(containers, bothy)
        await use(variants, stack)
        for (const { person } of variants) person.leave()
      } finally {
        await leavePriority()
      }
      await containers.close()
    } finally {
      await docker.close()
    }
  } finally {
    await stack.close()
  }
}

async function variantsOf(containers: DockerMachines, bothy: Contestant): Promise<readonly Variant[]> {
  const inContainers = { contestant: containers, person: await sitDown(first(containers)) }
  const person = await sitDown(first(bothy))
  return [
    { name: 'quota', ...inContainers, prepare: cores => containers.limit(cores) },
    { name: 'docker', ...inContainers, prepare: () => containers.limit(undefined) },
    { name: 'bothy', contestant: bothy, person, prepare: async () => undefined },
  ]
}

/** Where the person sits. */
export function first({ name, machines }: Contestant) {
  const [machine] = machines
  if (machine === undefined) throw new Error(`${name} has no machines`)
  return machine
}

export const KEY = 'key'
export const WORK = '20 ms of work'

/** Of the time, what the person types; for the rest there is work. */
const TYPING = 0.7

/** The person types, and then works, for so long in all; samples are named `key, VARIANT, WHAT` and `20 ms of work, VARIANT, WHAT`. */
export async function measure(
  samples: Samples,
  { name, person }: Variant,
  what: string,
  seconds: number,
  onTyped: () => void = () => undefined,
): Promise<void> {
  await person.type(seconds * 1000 * TYPING, ms => samples.add(`${KEY}, ${name}, ${what}`, ms))
  onTyped()
  await person.work(seconds * 1000 * (1 - TYPING), ms => samples.add(`${WORK}, ${name}, ${what}`, ms))
}
