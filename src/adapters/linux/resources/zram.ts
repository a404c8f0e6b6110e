// Swap in compressed memory, made by the runner where the host has none: what idle environments do not use shrinks to
// about a quarter. A device of ours says so in its swap header (its label), so that whoever sweeps knows it from everybody
// else's, and is written down in the runner's folder below /run before it has one. Nobody else's is ever touched.
import { open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { Fault } from '../../../lib/fault.ts'
import type { Log } from '../../../lib/log.ts'
import { mustRun, runProcess } from '../../../lib/run-process.ts'

/** auto: where there is no swap yet. zram: beside whatever there is. off: never, and what we made goes. */
export type SwapMode = 'auto' | 'zram' | 'off'

export interface ZramOptions {
  readonly shortId: string
  /** The runner's folder below /run: what is written there is true while the host is up, as zram is. */
  readonly folder: string
  readonly log: Log
}

const CONTROL = '/sys/class/zram-control'
// By what it costs to get a page back: lz4 takes a microsecond or two for it, zstd five times as long and wins a tenth.
const ALGORITHMS = ['lz4', 'zstd']
// Above swap on disks, which the kernel numbers downwards from -2.
const PRIORITY = 100
const SHARE_OF_MEMORY = 0.5
const LABEL_BYTES = 16

const labelOf = (shortId: string): string => `bothy-${shortId}`
const recordOf = ({ folder }: Pick<ZramOptions, 'folder'>): string => join(folder, 'zram')
const sysOf = (number: number, name: string): string => `/sys/block/zram${number}/${name}`

/**
 * Makes the host have swap as `mode` says, and returns whether a device of ours is there now. A kernel that has no zram, or
 * does not let us, is no failure: environments then keep their memory while they are idle.
 */
export async function ensureSwap(
  options: ZramOptions,
  mode: SwapMode,
  sizeBytes = totalmem() * SHARE_OF_MEMORY,
): Promise<boolean> {
  const { log } = options
  const own = await findOwn(options)
  if (mode === 'off') {
    if (own !== undefined) await removeSwap(options)
    return false
  }
  if (own !== undefined && (await isSwap(own))) return true
  // Left half-way by one that was killed.
  if (own !== undefined) await removeDevice(own)
  if (mode === 'auto' && (await swaps()).length > 0) return false
  if (!(await hasControl())) {
    log.info({}, 'no zram here: idle environments keep what memory they have')
    return false
  }
  try {
    const number = await makeDevice(options, Math.floor(sizeBytes / 4096) * 4096)
    log.info({ device: `/dev/zram${number}`, sizeBytes }, 'swap in compressed memory')
    return true
  } catch (error) {
    log.warn({ error: String(error) }, 'no swap could be made: idle environments keep what memory they have')
    await removeSwap(options).catch((cause: unknown) =>
      log.warn({ error: String(cause) }, 'zram not removed'),
    )
    return false
  }
}

/** Takes back what is in it, which needs room in memory, and removes it. Faults with `exhausted` when there is none. */
export async function removeSwap(options: Pick<ZramOptions, 'shortId' | 'folder'>): Promise<void> {
  const number = await findOwn(options)
  if (number !== undefined) await removeDevice(number)
  await rm(recordOf(options), { force: true })
}

/** Removes devices of runners that have no folder below /run any more; `isGone` says of a short id whether that is so. */
export async function sweepSwap(isGone: (shortId: string) => Promise<boolean>, log: Log): Promise<void> {
  for (const number of await devices()) {
    const shortId = /^bothy-([a-z0-9]{6})$/.exec((await labelAt(number)) ?? '')?.[1]
    if (shortId === undefined || !(await isGone(shortId))) continue
    log.info({ device: `/dev/zram${number}`, shortId }, 'removing swap that a runner left behind')
    await removeDevice(number).catch((error: unknown) =>
      log.warn({ error: String(error) }, 'zram not removed'),
    )
  }
}

async function makeDevice(options: ZramOptions, sizeBytes: number): Promise<number> {
  // Reading makes one, and says which.
  const number = Number((await readFile(join(CONTROL, 'hot_add'), 'utf8')).trim())
  await writeFile(recordOf(options), String(number))
  const offered = await readFile(sysOf(number, 'comp_algorithm'), 'utf8')
  const algorithm = ALGORITHMS.find(each => new RegExp(`\\b${each}\\b`).test(offered))
  if (algorithm !== undefined) await writeFile(sysOf(number, 'comp_algorithm'), algorithm)
  await writeFile(sysOf(number, 'disksize'), String(sizeBytes))
  const device = `/dev/zram${number}`
  await mustRun(['mkswap', '--label', labelOf(options.shortId), device])
  await mustRun(['swapon', '--priority', String(PRIORITY), device])
  return number
}

async function removeDevice(number: number): Promise<void> {
  const device = `/dev/zram${number}`
  if (await isSwap(number)) {
    const { code, stderr } = await runProcess(['swapoff', device])
    if (code !== 0) {
      const hint = 'stop environments, or add other swap, then try again'
      const message = `take back what is swapped to ${device}: ${stderr.trim()}`
      throw new Fault('exhausted', 'swapoff-failed', message, { hint })
    }
  }
  await writeFile(sysOf(number, 'reset'), '1')
  await writeFile(join(CONTROL, 'hot_remove'), String(number))
}

/** The number of this runner's device: by its label, or as written down when it has none yet. */
async function findOwn({
  shortId,
  folder,
}: Pick<ZramOptions, 'shortId' | 'folder'>): Promise<number | undefined> {
  for (const number of await devices()) if ((await labelAt(number)) === labelOf(shortId)) return number
  const text = await readFile(recordOf({ folder }), 'utf8').catch(() => '') // Nothing was ever made.
  if (text === '' || !(await devices()).includes(Number(text))) return undefined
  // One that holds something else belongs to somebody else by now.
  const isBlank = (await labelAt(Number(text))) === undefined && !(await isHeld(Number(text)))
  return isBlank ? Number(text) : undefined
}

async function devices(): Promise<readonly number[]> {
  const names = await readdir('/sys/block').catch(() => []) // No such kernel.
  return names.flatMap(name => /^zram(\d+)$/.exec(name)?.[1] ?? []).map(Number)
}

/** Somebody uses it, or has put something there. */
async function isHeld(number: number): Promise<boolean> {
  const holders = await readdir(sysOf(number, 'holders')).catch(() => [])
  if (holders.length > 0 || (await isSwap(number))) return true
  const mounts = await readFile('/proc/self/mountinfo', 'utf8')
  return mounts.includes(` /dev/zram${number} `)
}

/** What its swap header calls it; undefined when it has none. As mkswap(8) writes it: label at 1052, signature at 4086. */
async function labelAt(number: number): Promise<string | undefined> {
  const size = await readFile(sysOf(number, 'disksize'), 'utf8').catch(() => '0') // Gone meanwhile.
  if (Number(size) === 0) return undefined
  const handle = await open(`/dev/zram${number}`, 'r').catch(() => undefined) // As above, or not for us to read.
  if (handle === undefined) return undefined
  try {
    const page = Buffer.alloc(4096)
    await handle.read(page, 0, page.length, 0)
    if (page.toString('latin1', 4086) !== 'SWAPSPACE2') return undefined
    return page.toString('latin1', 1052, 1052 + LABEL_BYTES).replace(/\0.*$/, '')
  } finally {
    await handle.close()
  }
}

const isSwap = async (number: number): Promise<boolean> => (await swaps()).includes(`/dev/zram${number}`)

/** Devices and files that are swapped to. */
export async function swaps(): Promise<readonly string[]> {
  const text = await readFile('/proc/swaps', 'utf8').catch(() => '') // A kernel without swap.
  return text
    .split('\n')
    .slice(1)
    .flatMap(line => line.split(/\s+/)[0] || [])
}

/** Is there zram, or can it be had? */
export async function hasControl(): Promise<boolean> {
  const isThere = () =>
    readdir(CONTROL).then(
      names => names.includes('hot_add'),
      () => false, // Not loaded, or not built.
    )
  if (await isThere()) return true
  await runProcess(['modprobe', 'zram']).catch(() => undefined) // Without that program it is built in, or not there.
  return isThere()
}
