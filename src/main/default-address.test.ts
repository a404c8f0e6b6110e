import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Address } from '../cli/deps.ts'
import { Fault } from '../lib/fault.ts'
import { createLog } from '../lib/log.ts'
import { listenByDefault } from './default-address.ts'

const log = createLog({ name: 'test', level: 'silent' })
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bothy-port-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

/** Which port is chosen on a machine where those ports are taken. */
const chosen = (...taken: number[]) =>
  listenByDefault(
    async ({ port }: Address) => {
      if (taken.includes(port)) throw new Fault('unavailable', 'port-taken', `port ${port} is taken`)
      return port
    },
    dir,
    log,
  )

test('a port that was chosen is chosen again, also when the default one is free by then', async () => {
  expect(await chosen(7766, 7767)).toBe(7768)
  expect(await chosen()).toBe(7768)
  expect(await chosen(7766)).toBe(7768)
  expect(await readdir(dir)).toEqual(['port'])
})

test('a remembered port that is taken is replaced by a free one, which is remembered instead', async () => {
  expect(await chosen()).toBe(7766)
  expect(await chosen(7766)).toBe(7767)
  expect(await chosen()).toBe(7767)
  expect(await readFile(join(dir, 'port'), 'utf8')).toBe('7767\n')
})

test.each(['', '0', '70000', '-1', 'x', '7768; rm'])('%j is no port that anybody remembered', async text => {
  await writeFile(join(dir, 'port'), text)
  expect(await chosen()).toBe(7766)
})

test('gives up when nothing is free, and passes other faults on', async () => {
  const all = Array.from({ length: 200 }, (_, index) => 7766 + index)
  await expect(chosen(...all)).rejects.toMatchObject({ code: 'port-taken' })
  const refuse = () => Promise.reject(new Fault('forbidden', 'port-forbidden', 'no'))
  await expect(listenByDefault(refuse, dir, log)).rejects.toThrow('no')
})
