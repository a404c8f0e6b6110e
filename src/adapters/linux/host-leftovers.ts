// What a crash, or somebody's hand, may have left in the host's own namespace: nothing that we do by ourselves, for loop
// devices go with their last mount and mounts with their keeper. What is found all the same is taken back.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun } from '../../lib/run-process.ts'
import { parseMounts } from './propagation.ts'

/** Mounts below `dir`, in the order in which they can go: pure. */
export function mountsBelow(mountinfo: string, dir: string): string[] {
  return parseMounts(mountinfo)
    .map(({ target }) => target)
    .filter(target => target.startsWith(`${dir}/`))
    .reverse()
}

/** Must be done before `dir` is removed: what is mounted there, the state of an environment perhaps, would go with it. */
export async function unmountBelow(dir: string): Promise<void> {
  const mountinfo = await readFile('/proc/self/mountinfo', 'utf8')
  for (const target of mountsBelow(mountinfo, dir)) await mustRun(['umount', '--lazy', target])
}

/**
 * Lets go of loop devices that have a file below `dir` and would not do so by themselves. Those that are in use go with
 * their last user.
 */
export async function releaseLoops(dir: string): Promise<void> {
  for (const name of await readdir('/sys/block')) {
    const loop = join('/sys/block', name, 'loop')
    // Free devices have no such folder, and one may become free while we look.
    const read = (what: string) => readFile(join(loop, what), 'utf8').catch(() => '')
    if (!(await read('backing_file')).startsWith(`${dir}/`)) continue
    if ((await read('autoclear')).trim() === '0') await mustRun(['losetup', '--detach', join('/dev', name)])
  }
}
