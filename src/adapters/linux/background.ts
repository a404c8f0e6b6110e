// The runner's own heavy work: in a control group of its own beside those of the environments, where it gets little of
// what they compete for and all that they leave.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Background } from '../../core/background.ts'
import type { Clock } from '../../lib/clock.ts'
import { createLimiter } from '../../lib/limiter.ts'
import { type Cgroups, hierarchyOf, makeCgroup } from './cgroups.ts'
import { helperPath } from './helper.ts'
import { cgroupPath, type Layout } from './layout.ts'

const JOBS = 'jobs'
/** Two keep disk and network busy between them; more would only take turns. */
const MOST = 2
// A tenth of what an environment has that is at its limit. Not the least there is: somebody waits for an image, too.
const WEIGHTS: readonly (readonly [controller: string, file: string, value: string])[] = [
  ['cpu', 'cpu.weight', '10'],
  ['cpu', 'cpu.shares', '102'],
  ['io', 'io.weight', 'default 10'],
  ['io', 'io.bfq.weight', 'default 10'],
  ['blkio', 'blkio.bfq.weight', '10'],
]

export async function openBackground(layout: Layout, cgroups: Cgroups, clock: Clock): Promise<Background> {
  const path = cgroupPath(layout, JOBS)
  const files = await makeCgroup(cgroups, path, 'all')
  for (const [controller, file, value] of WEIGHTS) {
    const root = hierarchyOf(cgroups, controller)
    // Kernels have some of these files; a share that cannot be set is the usual one.
    if (root !== undefined)
      await writeFile(join(root, path, file), value, { flag: 'r+' }).catch(() => undefined)
  }
  return {
    run: createLimiter(MOST, clock),
    after: argv => ['perl', helperPath('background.pl'), ...files, '--', ...argv],
  }
}
