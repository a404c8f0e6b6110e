import { expect, test } from 'vitest'
import type { SandboxId } from '../../../core/driver.ts'
import { countJobs, EMPTY_BOOK, type JobBook, type Look } from './jobs.ts'
import { parseStat } from './process-stat.ts'

const id = '01890000-0000-7000-8000-000000000001' as SandboxId

function look(pid: number, more: Partial<Look> = {}): Look {
  return {
    pid,
    name: `p${pid}`,
    state: 'R',
    parent: 1,
    group: pid,
    session: 10,
    hasTerminal: true,
    ownTicks: 0,
    childTicks: 0,
    startedTicks: pid,
    in: 'session',
    isFromSession: true,
    ...more,
  }
}

/** What each job has used after each of the looks, by the number of its group. */
function usage(...rounds: readonly (readonly Look[])[]): Record<number, number>[] {
  let book: JobBook = EMPTY_BOOK
  return rounds.map(looks => {
    const counted = countJobs(id, book, looks)
    book = counted.book
    return Object.fromEntries(counted.jobs.map(({ group, cpuUs }) => [group, cpuUs / 10_000]))
  })
}

test('a process is read whatever it calls itself', () => {
  const rest = '20 0 1 0 4711 1000 10 '.padEnd(60, '0 ')
  const text = `42 (a) R 1 (b\n) S 7 40 39 34816 40 4194560 0 0 0 0 5 6 7 8 ${rest}`
  expect(parseStat(text)).toEqual({
    pid: 42,
    name: 'a) R 1 (b?',
    state: 'S',
    parent: 7,
    group: 40,
    session: 39,
    hasTerminal: true,
    ownTicks: 11,
    childTicks: 15,
    startedTicks: 4711,
  })
  expect(parseStat('')).toBeUndefined()
})

test('a job is its processes, and those of their children that have ended', () => {
  const make = look(20, { parent: 10 })
  expect(
    usage(
      [look(10), make, look(21, { group: 20, parent: 20, ownTicks: 30 })],
      // The compiler has ended; whoever waited for it is in the same job.
      [look(10), { ...make, ownTicks: 1, childTicks: 35 }],
    ).map(each => each[20]),
  ).toEqual([30, 36])
})

test('a shell is not heavy because a build that it started has ended', () => {
  const shell = look(10, { ownTicks: 2 })
  expect(
    usage([shell, look(20, { parent: 10, ownTicks: 500 })], [{ ...shell, childTicks: 600 }]).map(
      each => each[10],
    ),
  ).toEqual([2, 2])
})

test('nor an editor, when a terminal in it is closed; it is, when what it starts itself is', () => {
  const editor = look(30, { session: 30, hasTerminal: false })
  const [first, closed, own] = usage(
    [editor, look(40, { parent: 30, session: 40, ownTicks: 900 })],
    [{ ...editor, childTicks: 900 }],
    [{ ...editor, childTicks: 950 }],
  )
  expect([first?.[30], closed?.[30], own?.[30]]).toEqual([0, 0, 50])
})

test('what a job used never becomes less, whoever waits for its processes', () => {
  const leader = look(20, { ownTicks: 10 })
  expect(
    usage([leader, look(21, { group: 20, ownTicks: 100 })], [leader], [{ ...leader, ownTicks: 15 }]).map(
      each => each[20],
    ),
  ).toEqual([110, 110, 115])
})

test('a job keeps its name when its first process ends, and a new one of the same number is another', () => {
  const member = look(21, { group: 20 })
  let { book, jobs } = countJobs(id, EMPTY_BOOK, [look(20), member])
  expect(jobs[0]).toMatchObject({ group: 20, startedTicks: 20, name: 'p20', pids: [20, 21] })
  ;({ book, jobs } = countJobs(id, book, [member]))
  expect(jobs[0]).toMatchObject({ group: 20, startedTicks: 20, name: 'p21', pids: [21] })
  ;({ book, jobs } = countJobs(id, book, [look(20, { startedTicks: 900, ownTicks: 3 })]))
  expect(jobs).toEqual([
    {
      environment: id,
      group: 20,
      startedTicks: 900,
      pids: [20],
      runnable: 1,
      cpuUs: 30_000,
      in: 'session',
      isFromSession: true,
      name: 'p20',
    },
  ])
})

test('a job that is half moved is still where it came from', () => {
  const [job] = countJobs(id, EMPTY_BOOK, [look(20, { in: 'work' }), look(21, { group: 20 })]).jobs
  expect(job).toMatchObject({ in: 'session', isFromSession: true })
})
