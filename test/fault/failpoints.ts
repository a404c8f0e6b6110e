// Orders to the failpoints (src/lib/failpoint.ts) of a program under test.
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Failpoints {
  readonly dir: string
  /** `kill` or `stop`, and `after N`: see src/lib/failpoint.ts. */
  order(point: string, order: string): Promise<void>
  /** Takes back what was not carried out; says what it was. */
  clear(): Promise<readonly string[]>
  /** Which points were passed since the last time, in order. */
  trace(): Promise<readonly string[]>
}

export async function openFailpoints(dir: string): Promise<Failpoints> {
  await mkdir(dir)
  // The server writes here too, after it has given root away.
  await chmod(dir, 0o777)
  const path = join(dir, 'trace')
  const reset = async () => {
    await writeFile(path, '')
    await chmod(path, 0o666)
  }
  await reset()
  return {
    dir,
    async order(point, order) {
      await writeFile(join(dir, point), order)
      await chmod(join(dir, point), 0o666)
    },
    async clear() {
      const left = (await readdir(dir)).filter(name => name !== 'trace')
      for (const name of left) await rm(join(dir, name), { force: true })
      return left
    },
    async trace() {
      const passed = (await readFile(path, 'utf8')).split('\n').filter(line => line !== '')
      await reset()
      return passed
    },
  }
}
