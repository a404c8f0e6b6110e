import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { collectImages, planCollection } from './collect.ts'
import { ImageFolder } from './image-folder.ts'
import { acquireLock } from './lock.ts'

const HOUR = 60 * 60_000
const never = new AbortController().signal
const digest = (letter: string) => `sha256:${letter.repeat(64)}`

test.each<[string, Record<string, number>, string[], number, string[]]>([
  // what, hours idle by letter, used, greatest idle hours, removed
  ['nothing is old', { a: 1, b: 2 }, [], 24, []],
  ['the longest idle first', { a: 30, b: 50, c: 2 }, [], 24, ['b', 'a']],
  ['what is used stays, however old', { a: 30, b: 50 }, ['b'], 24, ['a']],
  ['under pressure a quarter of an hour is kept all the same', { a: 0.2, b: 0.5 }, [], 0, ['b']],
])('%s', (_, idle, used, maxIdle, removed) => {
  const images = Object.entries(idle).map(([letter, hours]) => ({
    ...{ digest: digest(letter), references: [], bytes: 1, usedMs: -hours * HOUR },
  }))
  const plan = planCollection(images, new Set(used.map(digest)), maxIdle * HOUR, 0)
  expect(plan.map(image => image.digest)).toEqual(removed.map(digest))
})

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bothy-collect-'))
  for (const folder of ['locks', 'tmp', 'refs']) await mkdir(join(dir, folder))
})
afterEach(() => rm(dir, { recursive: true }))

const put = async (letter: string, idleHours: number) => {
  const folder = join(dir, digest(letter).replace(':', '-'))
  await mkdir(join(folder, 'rootfs'), { recursive: true })
  await writeFile(join(folder, 'config.json'), JSON.stringify({ env: [], user: '', workingDir: '/' }))
  await writeFile(join(folder, 'bytes'), '1000\n')
  const seconds = (systemClock.now() - idleHours * HOUR) / 1000
  await utimes(folder, seconds, seconds)
}
const left = async () =>
  (await readdir(dir))
    .filter(name => name.startsWith('sha256-'))
    .map(name => name.slice(-1))
    .toSorted()
    .join('')
const collect = async (user: string, used: string[], maxIdleMs = 0) => {
  const request = { user, used: new Set(used.map(digest)), maxIdleMs }
  return (await collectImages(dir, request, systemClock, never)).map(image => image.digest)
}

test('what any of those who share the images uses stays', async () => {
  for (const letter of ['a', 'b', 'c']) await put(letter, 5)
  expect(await collect('one', ['a'])).toEqual([digest('b'), digest('c')].filter(each => each !== digest('a')))
  await put('b', 5)
  await collect('other', ['b'])
  expect(await left()).toBe('ab')
  // It has let its own go since.
  await collect('one', [])
  expect(await left()).toBe('b')
  expect(await readdir(join(dir, 'tmp'))).toEqual([])
})

test('what was asked for just now stays, and so does what somebody is making', async () => {
  await put('a', 5)
  await put('b', 5)
  await new ImageFolder(dir, systemClock).find(digest('a'), 'example')
  const lock = await acquireLock(join(dir, 'locks', digest('b').replace(':', '-')), () => undefined, never)
  expect(await collect('one', [])).toEqual([])
  await lock.release()
  expect(await collect('one', [])).toEqual([digest('b')])
})

test('what a crash left half-made or half-removed goes, and what somebody works on stays', async () => {
  const leave = (letter: string, suffix: string) =>
    mkdir(join(dir, 'tmp', `${digest(letter).replace(':', '-')}.${suffix}`, 'rootfs'), { recursive: true })
  await leave('a', 'gone')
  await leave('b', 'abcdef')
  await leave('c', 'abcdef')
  const lock = await acquireLock(join(dir, 'locks', digest('c').replace(':', '-')), () => undefined, never)
  await collect('one', [])
  expect(await readdir(join(dir, 'tmp'))).toEqual([`${digest('c').replace(':', '-')}.abcdef`])
  await lock.release()
})

test('one that goes while it is found is not there', async () => {
  await put('a', 5)
  const now = () => {
    rmSync(join(dir, digest('a').replace(':', '-')), { recursive: true })
    return systemClock.now()
  }
  expect(await new ImageFolder(dir, { ...systemClock, now }).find(digest('a'), 'example')).toBeUndefined()
})

test('nothing goes when it is not known what somebody uses', async () => {
  await put('a', 5)
  await mkdir(join(dir, 'users'))
  await writeFile(join(dir, 'users', 'broken.json'), '{')
  await expect(collect('one', [])).rejects.toThrow('JSON')
  expect(await left()).toBe('a')
})
