// The pool: a file system with reflinks that holds images and disks. An existing XFS or btrfs is used as it is; on any
// other a sparse file holds an XFS of our own, mounted once in the host's mount namespace so that it outlives us.
import { constants } from 'node:fs'
import { access, copyFile, mkdir, open, readFile, rename, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { HostStorage } from '../../core/driver.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault } from '../../lib/fault.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import { type DiskMode, type DiskSetting, decideMode, writeMode } from './disk-mode.ts'
import { endShared, ensureShared } from './propagation.ts'
import { type RoomLimits, roomLimits } from './room-plan.ts'

const GIB = 2 ** 30

export interface Pool {
  /** `dir` itself where reflinks work or disks are folders, else `dir`/pool. */
  readonly pool: string
  readonly mode: DiskMode
}

/** Makes the pool usable. Faults with `unavailable` or `unsupported` when it cannot be, as it is or with that setting. */
export async function preparePool(dir: string, setting: DiskSetting): Promise<Pool> {
  await mkdir(dir, { recursive: true, mode: 0o711 })
  const mode = await decideMode(dir, setting)
  if (mode === 'directory') await requireUpper(dir)
  const pool = mode === 'directory' || (await canReflink(dir)) ? dir : await mountPool(dir)
  await writeMode(dir, mode)
  return { pool, mode }
}

// From statfs(2). A container's root is often one.
const OVERLAYFS = 0x794c7630

async function requireUpper(dir: string): Promise<void> {
  if ((await statfs(dir)).type !== OVERLAYFS) return
  const message = `keep disks in ${dir} as folders: it is on an overlay, which cannot be the upper side of another`
  const hint = 'give the runner a folder on a volume of its own: bothy up --data DIR'
  throw new Fault('unavailable', 'pool-on-overlay', message, { hint })
}

async function mountPool(dir: string): Promise<string> {
  const file = join(dir, 'pool.xfs')
  const target = join(dir, 'pool')
  await mkdir(target, { recursive: true, mode: 0o711 })
  if (await isMounted(target)) return target
  if (!(await exists(file))) {
    const { blocks, bsize } = await statfs(dir)
    // As large as the host's file system: sparse, so it costs what is used, and never needs to grow.
    const size = Math.max(16, Math.floor((blocks * bsize) / GIB)) * GIB
    const draft = `${file}.new`
    await rm(draft, { force: true })
    const handle = await open(draft, 'wx', 0o600)
    await handle.truncate(size)
    await handle.close()
    await mustRun(['mkfs.xfs', '-q', '-m', 'reflink=1,bigtime=1', '-l', 'size=64m', draft])
    await rename(draft, file)
    failpoint('linux.pool-made')
  }
  await ensureShared(dir)
  const mounted = await runProcess([
    'mount',
    '-t',
    'xfs',
    '-o',
    'loop,noatime,discard,nosuid,nodev',
    file,
    target,
  ])
  if (mounted.code !== 0) {
    const hint = 'the kernel needs loop devices and XFS; see `bothy doctor`, and `dmesg` for the reason'
    throw new Fault('unavailable', 'pool-mount', `mount the pool ${file}: ${mounted.stderr.trim()}`, { hint })
  }
  return target
}

/** Unmounts a pool of our own making; its file stays. */
export async function closePool(dir: string): Promise<void> {
  if (!(await exists(dir))) return
  const target = join(dir, 'pool')
  if (await isMounted(target)) await mustRun(['umount', target])
  await endShared(dir)
}

/** Free bytes for environments: the pool's or, below it, the host's, whichever is less. */
export async function freeBytes(poolParent: string, pool: string): Promise<number> {
  const stats = await Promise.all([statfs(poolParent), statfs(pool)])
  return Math.min(...stats.map(({ bavail, bsize }) => bavail * bsize))
}

/** Faults with `exhausted` when no new disk may be made. */
export async function requireRoom(parent: string, pool: string): Promise<void> {
  const { lowBytes } = await limitsOf(parent)
  await requireFree(parent, pool, lowBytes)
}

async function requireFree(parent: string, pool: string, bytes: number): Promise<void> {
  const free = await freeBytes(parent, pool)
  if (free >= bytes) return
  const hint = 'delete environments or images, or give the runner a larger disk'
  const message = `make a disk: ${Math.floor(free / 2 ** 20)} MiB free on the host, ${Math.floor(bytes / 2 ** 20)} MiB are kept`
  throw new Fault('exhausted', 'host-full', message, { hint })
}

const LOOK_MS: Millis = 100

/**
 * Calls `work` with a signal that also aborts, and a fault as of `requireRoom`, before room is so short that those who
 * write inside are held up: nobody would hold up what we copy ourselves.
 */
export async function whileRoom<T>(
  { parent, pool, clock }: { readonly parent: string; readonly pool: string; readonly clock: Clock },
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const [short, over] = [new AbortController(), new AbortController()]
  let why: unknown
  const looking = async () => {
    try {
      const { lowBytes, reserveBytes } = await limitsOf(parent)
      for (;;) {
        await clock.sleep(LOOK_MS, over.signal)
        await requireFree(parent, pool, (lowBytes + reserveBytes) / 2)
      }
    } catch (error) {
      if (over.signal.aborted) return
      why = error
      short.abort()
    }
  }
  const looks = looking()
  try {
    return await work(AbortSignal.any([signal, short.signal]))
  } catch (error) {
    throw why ?? error
  } finally {
    over.abort()
    await looks
  }
}

/** The room of a host whose pool lies in `parent`. */
export async function storageOf(parent: string, pool: string): Promise<HostStorage> {
  const { blocks, bsize } = await statfs(parent)
  const { lowBytes } = roomLimits(blocks * bsize)
  return { sizeBytes: blocks * bsize, freeBytes: await freeBytes(parent, pool), lowBytes }
}

/** Of a host whose pool lies in `parent`. */
export async function limitsOf(parent: string): Promise<RoomLimits & { readonly sizeBytes: number }> {
  const { blocks, bsize } = await statfs(parent)
  const sizeBytes = blocks * bsize
  return { sizeBytes, ...roomLimits(sizeBytes) }
}

/** Does the file system below `dir` share blocks between copies? Tried, not guessed. */
export async function canReflink(dir: string): Promise<boolean> {
  const source = join(dir, `.reflink-${process.pid}`)
  try {
    const handle = await open(source, 'w', 0o600)
    await handle.write(Buffer.alloc(4096, 1))
    await handle.close()
    await copyFile(source, `${source}-copy`, constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch (cause) {
    if (
      ['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'ENOSYS', 'EINVAL', 'ENOTTY'].includes(
        (cause as NodeJS.ErrnoException).code ?? '',
      )
    )
      return false
    throw cause
  } finally {
    await Promise.all([rm(source, { force: true }), rm(`${source}-copy`, { force: true })])
  }
}

async function isMounted(target: string): Promise<boolean> {
  const text = await readFile('/proc/self/mountinfo', 'utf8')
  // The kernel writes blanks and such as octal escapes.
  const escaped = target.replace(/[\s\\]/g, c => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
  return text.split('\n').some(line => line.split(' ')[4] === escaped)
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false, // Whatever keeps us from seeing it will be met again, and told, by the next step.
  )
}
