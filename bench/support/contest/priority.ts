// The bench's own process is the person's screen: it must not wait for the hogs, whoever runs them.
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { detectCgroups } from '../../../src/adapters/linux/cgroups.ts'
import { systemClock } from '../../../src/lib/clock.ts'

const NAME = `bothy-bench-screen-${process.pid}`

/** Puts this process into a group of its own that weighs as much as groups can. Returns what undoes it. */
export async function takePriority(): Promise<() => Promise<void>> {
  const { v1, unified } = await detectCgroups()
  const root = v1.find(each => /\/cpu(,|$)/.test(each)) ?? unified
  if (root === undefined) return async () => undefined
  const before = await ownGroup(root === unified ? '' : 'cpu')
  const dir = join(root, NAME)
  await mkdir(dir)
  await writeFile(
    join(dir, root === unified ? 'cpu.weight' : 'cpu.shares'),
    root === unified ? '10000' : '262144',
  )
  await writeFile(join(dir, 'cgroup.procs'), String(process.pid))
  return async () => {
    await writeFile(join(root, before, 'cgroup.procs'), String(process.pid))
    // A group just emptied stays busy for some milliseconds.
    for (let tries = 0; tries < 50; tries++) {
      const error = await rmdir(dir).then(
        () => undefined,
        (cause: unknown) => cause,
      )
      if (error === undefined) return
      await systemClock.sleep(20)
    }
    throw new Error(`${dir} is still busy`)
  }
}

async function ownGroup(controller: string): Promise<string> {
  const lines = (await readFile('/proc/self/cgroup', 'utf8')).split('\n').map(line => line.split(':'))
  const found = lines.find(([, names]) => (names ?? '').split(',').includes(controller))
  return found?.[2] ?? '/'
}
