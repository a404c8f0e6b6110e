// How the disks of a pool are kept: an image each, or, where loop mounts are impossible, a folder each. A pool is of one
// kind for good: what the other would make of it is not what people left there.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault, toFault } from '../../lib/fault.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import { HELPER_ENV, helperPath } from './helper.ts'

export type DiskMode = 'image' | 'directory'
/** `auto`: images where they can be mounted. */
export type DiskSetting = 'auto' | DiskMode

export type LoopProbe = { readonly works: true } | { readonly works: false; readonly why: string }

/** Where a pool says of which kind it is. */
const MARK = 'disks'
/** The least that mkfs.ext4 makes a journal in. */
const PROBE_BYTES = 8 * 2 ** 20

export const DIRECTORY_COST = 'no size limit, and copies take as long as what they copy'

/** Pure part of `decideMode`: `made` is of which kind the pool is already. */
export function chooseMode(
  dir: string,
  setting: DiskSetting,
  made: DiskMode | undefined,
  probe: LoopProbe,
): DiskMode {
  const mode = setting === 'auto' ? (made ?? (probe.works ? 'image' : 'directory')) : setting
  if (made !== undefined && made !== mode) {
    const hint = `set \`disks: ${made}\` (or auto) in runner.yaml, or give the runner an empty folder: bothy up --data DIR`
    const message = `keep disks in ${dir} in mode '${mode}': those that are there are of mode '${made}'`
    throw new Fault('unsupported', 'disk-mode', message, { hint })
  }
  if (mode === 'image' && !probe.works) {
    const hint =
      made === undefined
        ? 'give the runner loop devices (`modprobe loop`; in a container, its devices and mounts), or set `disks: directory` in runner.yaml'
        : 'give the runner its loop devices back: `modprobe loop`; in a container, its devices and mounts'
    throw new Fault('unavailable', 'loop-mounts', `keep disks in ${dir} as images: ${probe.why}`, { hint })
  }
  return mode
}

/** Of which kind the disks in `dir` are to be, by setting, by what is there and by trying. Faults: see `chooseMode`. */
export async function decideMode(dir: string, setting: DiskSetting): Promise<DiskMode> {
  const made = await readMode(dir)
  const isDirectory = setting === 'directory' || (setting === 'auto' && made === 'directory')
  return chooseMode(dir, setting, made, isDirectory ? { works: true } : await probeLoop())
}

/** Undefined: no pool was made there yet. */
export async function readMode(dir: string): Promise<DiskMode | undefined> {
  const said = await readFile(join(dir, MARK), 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (said !== undefined) return said.trim() === 'directory' ? 'directory' : 'image'
  const names: readonly string[] = await readdir(dir).catch(() => []) // No folder: nothing was made.
  // Pools were of one kind before they said so.
  return ['pool.xfs', 'environments'].some(name => names.includes(name)) ? 'image' : undefined
}

export async function writeMode(dir: string, mode: DiskMode): Promise<void> {
  await writeFile(join(dir, MARK), `${mode}\n`)
}

/** Can we mount an image? Tried, in a mount namespace of its own, with one that is removed again. */
export async function probeLoop(): Promise<LoopProbe> {
  const dir = await mkdtemp(join(tmpdir(), 'bothy-probe-'))
  const image = join(dir, 'image')
  try {
    await mustRun(['truncate', '--size', String(PROBE_BYTES), image])
    await mustRun(['mkfs.ext4', '-q', '-F', '-b', '4096', image], { env: HELPER_ENV })
    const { code, stderr } = await runProcess(['perl', helperPath('probe-loop.pl'), image, dir], {
      env: HELPER_ENV,
    })
    return code === 0 ? { works: true } : { works: false, why: stderr.trim() }
  } catch (error) {
    return { works: false, why: toFault(error).message }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
