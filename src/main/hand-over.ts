import { lchown, lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Gives the files in `dir` to an account, as root. The folder may have been the account's before, so whatever lies in it
 * may have been put there to be given away: links of either kind are left as they are.
 */
export async function handOver(dir: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name)
    const stats = await lstat(path)
    if (stats.isFile() && stats.nlink === 1) await lchown(path, uid, gid)
  }
}
