import { expect, test } from 'vitest'
import { createParser } from './kernel-log.ts'

// As Linux 6.18 and 6.1 write them.
const WHO =
  '4,7821,24866846797,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,' +
  'oom_memcg=/bothy-r12345/01a1f912,task_memcg=/bothy-r12345/01a1f912/work,task=cc1plus,pid=4711,uid=1879048192'
const WHAT =
  '3,7822,24866846811,-;Memory cgroup out of memory: Killed process 4711 (cc1plus) total-vm:212684kB, ' +
  'anon-rss:50944kB, file-rss:4732kB, shmem-rss:1024kB, UID:0 pgtables:156kB oom_score_adj:500'

test('whom the kernel shot is told by two records', () => {
  const parse = createParser()
  expect(parse(WHO)).toBeUndefined()
  expect(parse('6,7823,1,-;something else')).toBeUndefined()
  expect(parse(WHAT)).toEqual({
    pid: 4711,
    name: 'cc1plus',
    bytes: 51_968 * 1024,
    group: '/bothy-r12345/01a1f912/work',
  })
})

test('where it was is not guessed when the first record is missing, or is about another one', () => {
  const parse = createParser()
  expect(parse(WHAT)).toMatchObject({ pid: 4711, group: '' })
  parse(WHO.replace('pid=4711', 'pid=4712'))
  expect(parse(WHAT)).toMatchObject({ pid: 4711, group: '' })
})

test('names that look like something else are only names', () => {
  const parse = createParser()
  parse(WHO.replace('task=cc1plus', 'task=a,pid=1,uid=0'))
  expect(parse(WHAT.replace('(cc1plus)', '(x) (y))'))).toMatchObject({
    name: 'x) (y)',
    group: '/bothy-r12345/01a1f912/work',
  })
})
