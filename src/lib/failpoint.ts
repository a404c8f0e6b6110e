// Failpoints: named places, between two steps that change the world, at which tests kill the program. Off unless the
// program was started with a folder for them (`BOTHY_FAILPOINTS`), and then steered by files in that folder:
//
//   trace    gets a line for every point that is passed, in order: what there is to break
//   NAME     what happens the next time that point is passed: `kill` (this process ends there, as by kill -9) or `stop`
//            (this process is frozen there, as by SIGSTOP, so that others can be killed at that moment). `kill after 2`:
//            the third time. Taken away before it acts: an order is carried out once, whoever comes first
import { appendFileSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const SIGNALS = { kill: 'SIGKILL', stop: 'SIGSTOP' } as const
// Longer than a signal to oneself takes to arrive: nothing of what follows the point happens before it.
const ARRIVAL_MS = 200

let folder: string | undefined

/** Turns failpoints on for this process. `dir` is the program's environment's; empty or absent: they stay off. */
export function armFailpoints(dir: string | undefined): void {
  folder = dir === '' ? undefined : dir
}

/** Marks a place where a test may end or freeze the process. Costs nothing while failpoints are off. */
export function failpoint(name: string): void {
  if (folder === undefined) return
  appendFileSync(join(folder, 'trace'), `${name}\n`)
  const order = takeOrder(join(folder, name))
  if (order === undefined) return
  process.kill(process.pid, SIGNALS[order])
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ARRIVAL_MS)
}

function takeOrder(path: string): keyof typeof SIGNALS | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const [, order, after = '0'] = /^(kill|stop)(?: after (\d+))?\s*$/.exec(text) ?? []
  if (order === undefined)
    throw new Error(`failpoint ${path}: '${text}' is not 'kill' or 'stop', or either 'after N'`)
  if (Number(after) > 0) {
    writeFileSync(path, `${order} after ${Number(after) - 1}`)
    return undefined
  }
  unlinkSync(path)
  return order as keyof typeof SIGNALS
}
