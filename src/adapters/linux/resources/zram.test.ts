// A device of this test's own: made, found again, and gone at the end, whatever happens.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { leftovers, testShortId } from '../../../../test/support/host.ts'
import { titled } from '../../../../test/support/requirements.ts'
import { silentLog } from '../../../lib/log.ts'
import { RUN_ROOT } from '../layout.ts'
import { ensureSwap, hasControl, removeSwap, swaps, sweepSwap } from './zram.ts'

const isRoot = process.getuid?.() === 0
const why = !isRoot ? 'zram needs root' : (await hasControl()) ? undefined : 'this kernel has no zram to add'
const SIZE = 64 * 2 ** 20

describe.skipIf(why !== undefined)(titled('swap in compressed memory', why), () => {
  const shortId = testShortId()
  let folder: string
  const options = () => ({ shortId, folder, log: silentLog })
  const devices = () => readdirSync('/sys/block').filter(each => each.startsWith('zram'))

  beforeEach(async () => {
    // Where it would be: other runners of this host take away what belongs to none that is there.
    folder = join(RUN_ROOT, shortId)
    await mkdir(folder, { recursive: true })
  })
  afterEach(async () => {
    await removeSwap(options())
    await rm(folder, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })
  /** Those with our label that are swapped to: other tests have their own at the same time. */
  const own = async () => {
    const labelled = leftovers(shortId).flatMap(each => /^swap: (zram\d+) /.exec(each)?.[1] ?? [])
    return (await swaps()).filter(each => labelled.includes(each.slice('/dev/'.length)))
  }

  test('is made once, of that size, and found again by its label', async () => {
    expect(await ensureSwap(options(), 'zram', SIZE)).toBe(true)
    const [device = ''] = await own()
    expect(device).toMatch(/^\/dev\/zram\d+$/)
    const name = device.slice('/dev/'.length)
    expect(Number(readFileSync(`/sys/block/${name}/disksize`, 'utf8'))).toBe(SIZE)
    expect(readFileSync('/proc/swaps', 'utf8')).toMatch(new RegExp(`^${device} .*100$`, 'm'))
    expect(await ensureSwap(options(), 'zram', SIZE)).toBe(true)
    // What is written below /run is gone after a crash of whoever keeps it; the device says whose it is.
    await rm(join(folder, 'zram'))
    expect(await ensureSwap(options(), 'auto', SIZE)).toBe(true)
    expect(await own()).toEqual([device])
  })

  test('goes when it is not wanted any more', async () => {
    await ensureSwap(options(), 'zram', SIZE)
    expect(await ensureSwap(options(), 'off')).toBe(false)
    expect(await own()).toEqual([])
  })

  test('is not made where there is swap already', async () => {
    await ensureSwap(options(), 'zram', SIZE)
    const other = { ...options(), shortId: testShortId() }
    expect(await ensureSwap(other, 'auto', SIZE)).toBe(false)
    expect(await own()).toHaveLength(1)
  })

  test('one that was made half-way is taken away, and no other', async () => {
    const number = readFileSync('/sys/class/zram-control/hot_add', 'utf8').trim()
    const other = readFileSync('/sys/class/zram-control/hot_add', 'utf8').trim()
    try {
      await writeFile(join(folder, 'zram'), number)
      expect(await ensureSwap(options(), 'zram', SIZE)).toBe(true)
      expect(devices()).toContain(`zram${other}`)
      await removeSwap(options())
      expect(devices()).not.toContain(`zram${number}`)
      expect(devices()).toContain(`zram${other}`)
    } finally {
      await writeFile('/sys/class/zram-control/hot_remove', other)
    }
  })

  test("somebody else's is left alone, also when it is the one written down", async () => {
    const number = readFileSync('/sys/class/zram-control/hot_add', 'utf8').trim()
    try {
      await writeFile(`/sys/block/zram${number}/disksize`, String(SIZE))
      execFileSync('mkswap', ['--label', 'mine', `/dev/zram${number}`])
      await writeFile(join(folder, 'zram'), number)
      await removeSwap(options())
      await sweepSwap(async () => true, silentLog)
      expect(devices()).toContain(`zram${number}`)
    } finally {
      await writeFile(`/sys/block/zram${number}/reset`, '1')
      await writeFile('/sys/class/zram-control/hot_remove', number)
    }
  })

  test('what a runner left behind that is gone for good is swept', async () => {
    await ensureSwap(options(), 'zram', SIZE)
    await sweepSwap(async gone => gone !== shortId, silentLog)
    expect(await own()).toHaveLength(1)
    await sweepSwap(async gone => gone === shortId, silentLog)
    expect(await own()).toEqual([])
  })
})
