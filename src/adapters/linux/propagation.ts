// Whether unmounting reaches everybody. Each keeper lives in a copy of the host's mounts, and one that keeps a copy of
// another runner's pool would hold its loop device for as long as its own sandbox lives. Copies follow what happens
// below a shared mount. Where init shares everything (systemd does), there is nothing to do; elsewhere the folder of
// the pool becomes a shared mount of itself.
import { readFile, realpath } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { mustRun } from '../../lib/run-process.ts'

export interface Mount {
  readonly id: number
  readonly parent: number
  /** Major and minor number. */
  readonly device: string
  /** Which folder of the file system is shown. */
  readonly root: string
  readonly target: string
  readonly isShared: boolean
}

/** From the text of `/proc/PID/mountinfo`, see proc(5). */
export function parseMounts(text: string): Mount[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const [id, parent, device, root, target, _options, ...more] = line.split(' ') as [
        ...[string, string, string, string, string, string],
        ...string[],
      ]
      const optional = more.slice(0, more.indexOf('-'))
      const isShared = optional.some(field => field.startsWith('shared:'))
      return {
        ...{ id: Number(id), parent: Number(parent), device },
        ...{ root: unescape(root), target: unescape(target), isShared },
      }
    })
}

/** The mount that shows `path`. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts
    .filter(({ target }) => target === '/' || path === target || path.startsWith(`${target}/`))
    .reduce<Mount | undefined>(
      // Of two at one place the later one lies on top.
      (best, next) => (best === undefined || next.target.length >= best.target.length ? next : best),
      undefined,
    )
}

/** Is this mount a folder shown at its own place? */
export function isSelfMount(mounts: readonly Mount[], mount: Mount): boolean {
  const parent = mounts.find(({ id }) => id === mount.parent)
  if (parent === undefined || parent.device !== mount.device) return false
  return mount.root === join(parent.root, relative(parent.target, mount.target))
}

/** Makes what is mounted below `dir` from now on go for everybody when it goes here. Idempotent. */
export async function ensureShared(dir: string): Promise<void> {
  const path = await realpath(dir)
  const mounts = await readMounts()
  const mount = mountOf(mounts, path)
  if (mount?.isShared === true) return
  const isOurs = mount !== undefined && mount.target === path && isSelfMount(mounts, mount)
  if (!isOurs) await mustRun(['mount', '--bind', path, path])
  await mustRun(['mount', '--make-shared', path])
}

/** Takes back what `ensureShared` did. */
export async function endShared(dir: string): Promise<void> {
  const path = await realpath(dir)
  const mounts = await readMounts()
  const mount = mountOf(mounts, path)
  // Lazy: the kernel lets go of the pool's file, which was opened through it, in its own time after the unmount.
  if (mount?.target === path && isSelfMount(mounts, mount)) await mustRun(['umount', '--lazy', path])
}

async function readMounts(): Promise<Mount[]> {
  return parseMounts(await readFile('/proc/self/mountinfo', 'utf8'))
}

// The kernel writes blanks and such as octal escapes.
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
