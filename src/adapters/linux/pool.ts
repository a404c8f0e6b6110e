// The pool: a file system with reflinks that holds images and disks. An existing XFS or btrfs is used as it is; on any
// other a sparse file holds an XFS of our own, mounted once in the host's mount namespace so that it outlives us.
import { constants } from 'node:fs'
import { access, copyFile, mkdir, open, readFile, rename, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { SandboxId } from '../../core/driver.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault } from '../../lib/fault.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import { diskImage, environmentDir, type Layout, templatesDir } from './layout.ts'
import { endShared, ensureShared } from './propagation.ts'

const GIB = 2 ** 30
// Below this much free space on the host no new disk is made: what exists must still be able to grow.
const RESERVE_BYTES = 1 * GIB

/** Makes the pool usable and returns its folder: `dir` itself where reflinks work, else `dir`/pool. */
export async function preparePool(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o711 })
  if (await canReflink(dir)) return dir
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

/**
 * Gives the environment its disk: a reflink of a formatted template, so it takes milliseconds whatever its size.
 * Idempotent. Faults with `exhausted` when the host has no room to spare.
 */
export async function makeDisk(
  layout: Layout,
  poolParent: string,
  id: SandboxId,
  sizeBytes: number,
): Promise<void> {
  const image = diskImage(layout, id)
  if (await exists(image)) return
  const free = await freeBytes(poolParent, layout.pool)
  if (free < RESERVE_BYTES) {
    const hint = 'delete environments or images, or give the runner a larger disk'
    const message = `make a disk: ${Math.floor(free / 2 ** 20)} MiB free on the host, ${RESERVE_BYTES / 2 ** 20} MiB are kept`
    throw new Fault('exhausted', 'host-full', message, { hint })
  }
  const template = await ensureTemplate(layout, sizeBytes)
  await mkdir(environmentDir(layout, id), { recursive: true, mode: 0o711 })
  await copyFile(template, `${image}.new`, constants.COPYFILE_FICLONE_FORCE)
  failpoint('linux.disk-copied')
  await rename(`${image}.new`, image)
}

async function ensureTemplate(layout: Layout, sizeBytes: number): Promise<string> {
  const template = join(templatesDir(layout), `ext4-${sizeBytes}.img`)
  if (await exists(template)) return template
  await mkdir(templatesDir(layout), { recursive: true, mode: 0o700 })
  const draft = `${template}.${process.pid}`
  await rm(draft, { force: true })
  const handle = await open(draft, 'wx', 0o600)
  await handle.truncate(sizeBytes)
  await handle.close()
  // A journal, for the disk must survive power failures; no reserved blocks, for root inside is the user; inode tables
  // are left sparse (the file reads as zeros), else a 20 GiB disk would cost 300 MB before its first byte.
  // 4096 also for small disks, where mkfs would choose 1024, less than the loop device's sectors may be.
  const journal = sizeBytes < 2 ** 30 ? 'size=8' : 'size=64'
  const options = [
    '-b',
    '4096',
    '-m',
    '0',
    '-J',
    journal,
    '-E',
    'lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0',
  ]
  await mustRun(['mkfs.ext4', '-q', '-F', ...options, draft])
  await rename(draft, template)
  return template
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
