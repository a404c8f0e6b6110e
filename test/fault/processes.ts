// The processes of a `bothy up`, told by the kernel, and how to end them as a power cut would: without a word.
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import type { Stack } from '../support/stack.ts'

/** What can be killed, each alone, and all at once. */
export type Victim = 'runner' | 'server' | 'database' | 'everything'

export function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Gone, which is an answer too.
    return undefined
  }
}

/**
 * Every process, with its arguments and its parent. Not those that have ended: where the first process of the machine
 * reaps nobody (containers), what was orphaned stays listed for ever.
 */
export function processes(): { pid: number; parent: number; argv: readonly string[] }[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(name => {
      const status = read(`/proc/${name}/status`)
      const argv = read(`/proc/${name}/cmdline`)?.split('\0')
      if (status === undefined || argv === undefined || /^State:\s+[ZX]/m.test(status)) return []
      return [{ pid: Number(name), parent: Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]), argv }]
    })
}

export const stateOf = (pid: number): string | undefined =>
  /^State:\s+(\w)/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1]

export const isAlive = (pid: number): boolean => ![undefined, 'Z', 'X'].includes(stateOf(pid))

export function pidOf(stack: Stack, victim: Exclude<Victim, 'everything'>): number | undefined {
  const runner = stack.up.child.pid
  if (victim === 'runner') return runner
  if (victim === 'server')
    return processes().find(({ parent, argv }) => parent === runner && argv[2] === 'server')?.pid
  const pgdata = realpathSync(join(stack.dataDir, 'postgres', 'data'))
  const pid = Number(read(join(pgdata, 'postmaster.pid'))?.split('\n')[0])
  return pid > 0 ? pid : undefined
}

export function signal(pid: number | undefined, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, name)
  } catch {
    // Gone meanwhile: nobody there to hear it.
  }
}

/** Ends it by kill -9, and waits until it is gone. */
export async function kill(stack: Stack, victim: Victim): Promise<void> {
  const all = victim === 'everything' ? (['runner', 'server', 'database'] as const) : [victim]
  const pids = all.map(each => pidOf(stack, each)).filter(pid => pid !== undefined)
  for (const pid of pids) signal(pid, 'SIGKILL')
  await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), { timeout: 20_000, interval: 5 })
}

/** Which of runner and server is frozen at a failpoint, as soon as one is. */
export async function frozen(stack: Stack): Promise<number> {
  const find = () =>
    [pidOf(stack, 'runner'), pidOf(stack, 'server')].find(pid => pid !== undefined && stateOf(pid) === 'T')
  return vi.waitFor(
    () => {
      const pid = find()
      if (pid === undefined) throw new Error('neither runner nor server came to the failpoint')
      return pid
    },
    { timeout: 30_000, interval: 5 },
  )
}
