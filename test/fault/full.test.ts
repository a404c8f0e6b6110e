// Room runs out: inside of an environment, which is its own business, and on the host, which is nobody's fault inside.
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Condition, findCondition } from '../../src/api/conditions.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { testImage } from '../support/image.ts'
import { testLabel } from '../support/label.ts'
import { titled } from '../support/requirements.ts'
import { STACKS, testClass } from '../support/stack.ts'
import { hostFacts } from './host-facts.ts'
import { frozen, signal } from './processes.ts'
import { expectMarked, openWorld, type World } from './world.ts'

const why = whyNoSandboxes()
const MIB = 2 ** 20

describe.skipIf(why !== undefined)(titled('a full disk', why), () => {
  let folder: string
  let world: World

  beforeAll(async () => {
    // A host of its own: a file system of 3 GiB that nobody else uses.
    folder = mkdtempSync(join(STACKS, `${await testLabel()}-full-`))
    chmodSync(folder, 0o755)
    const file = join(folder, 'host.ext4')
    writeFileSync(file, '')
    truncateSync(file, 3 * 1024 * MIB)
    execFileSync('mkfs.ext4', ['-q', '-F', file])
    mkdirSync(join(folder, 'small'))
    execFileSync('mount', ['-o', 'loop', file, join(folder, 'small')])
    world = await openWorld({ parent: join(folder, 'small') })
    const image = (await testImage()).reference
    await world.stack.ok('apply -f -', { stdin: testClass('small', image, { disk: '256Mi' }) })
  })
  afterAll(async () => {
    await world.close()
    execFileSync('umount', [join(folder, 'small')])
    rmSync(folder, { recursive: true })
  })

  const freeBytes = () => {
    const { bavail, bsize } = statfsSync(world.stack.dataDir)
    return bavail * bsize
  }

  test('an environment that fills its disk is told so, lives, and takes nothing from the host', async () => {
    const before = freeBytes()
    const one = await world.create('one')
    await world.settled()
    await world.mark(one)
    const fill = (bytes: string) => `dd if=/dev/zero of=/workspaces/full-${bytes} bs=${bytes} 2>&1`
    const filled = await world.say('one', `${fill('1M')}; ${fill('4k')}; sync; df --output=avail /workspaces`)
    expect(filled).toMatch(/No space left on device[^]*No space left on device[^]*\n\s*0$/)
    // Root's own files are on the same disk; what needs none goes on.
    expect(await world.say('one', 'echo x > /etc/more 2>/dev/null || echo refused; echo alive')).toMatch(
      /alive$/,
    )
    expect(before - freeBytes()).toBeLessThan(300 * MIB)
    await expectMarked(world, one)
    // Full is no reason not to stop and start again, as often as one likes, and then to make room.
    for (let round = 0; round < 3; round++) {
      await world.desire(one, 'Stopped')
      await world.settled()
      await world.desire(one, 'Running')
      await world.settled()
      await expectMarked(world, one)
      await world.say('one', 'cat /dev/zero > /workspaces/even-more || true')
    }
    expect(
      await world.say(
        'one',
        'rm /workspaces/*full* /workspaces/*more*; sync; echo room > /etc/more; cat /etc/more',
      ),
    ).toBe('room')
  })

  test('a host without room refuses new environments, says why, and goes on with the others', async () => {
    const filler = join(world.stack.dataDir, 'filler')
    execFileSync('fallocate', ['--length', String(freeBytes() - 900 * MIB), filler])
    const refused = await world.create('refused')
    const failed = await world.until('refused', found => found?.status.phase === 'Failed')
    expect(findCondition(failed?.status.conditions ?? [], 'Ready')).toMatchObject({
      status: 'False',
      reason: 'HostFull',
      fault: 'exhausted',
      message: expect.stringMatching(/^make a disk: \d+ MiB free on the host, \d+ MiB are kept$/),
      hint: expect.stringMatching(/delete environments/),
    })
    const { folders, slotOwners, loops } = await hostFacts(world.stack)
    expect(folders).toContain(`${refused.uid}: environment.json`)
    expect([slotOwners, loops].flat()).not.toContain(refused.uid)
    const one = [...world.known.values()].find(({ name }) => name === 'one')!
    await world.desire(one, 'Stopped')
    await world.until('one', found => found?.status.phase === 'Stopped')
    await world.desire(one, 'Running')
    await world.until('one', found => found?.status.phase === 'Running')
    await expectMarked(world, one)

    // With room again, it is enough to ask again.
    rmSync(filler)
    await world.desire(refused, 'Stopped')
    await world.until('refused', found => found?.status.phase === 'Stopped')
    await world.desire(refused, 'Running')
    await world.settled()
    await world.remove(refused)
    await world.settled()
  })

  test('whoever writes waits while the host is full, loses nothing, and goes on when there is room', async () => {
    // The other one's disk has been full before: what it writes takes nothing more from the host.
    const two = await world.create('two')
    await world.settled()
    await world.mark(two)
    const available = async () =>
      findCondition((await world.find('two'))?.status.conditions ?? [], 'RoomAvailable')?.status
    const filler = join(world.stack.dataDir, 'filler')
    // A twentieth of the host is kept for what was written already.
    execFileSync('fallocate', ['--length', String(freeBytes() - 230 * MIB), filler])
    // 180 MiB, little by little; each part must reach the disk.
    const part =
      'dd if=/dev/urandom of=/workspaces/long bs=1M count=1 seek=$i conv=fsync,notrunc 2>>/workspaces/said'
    const writer = `i=0; while [ $i -lt 180 ]; do ${part} || break; i=$((i + 1)); sleep 0.02; done; echo $i > /workspaces/end`
    await world.say('two', `rm -f /workspaces/end; (${writer}) </dev/null >/dev/null 2>&1 &`)
    await world.until(
      'two',
      found => findCondition(found?.status.conditions ?? [], 'RoomAvailable')?.status === 'False',
    )
    const free = freeBytes()
    expect(free).toBeGreaterThan(0)
    const held = await world.find('two')
    expect(held?.status.phase).toBe('Running')
    expect(findCondition(held?.status.conditions ?? [], 'RoomAvailable')).toMatchObject({
      reason: 'HostFull',
      hint: expect.any(String),
    })
    // It writes nothing more; the host's own doings aside.
    await world.settled()
    expect(freeBytes()).toBeGreaterThan(free - 4 * MIB)
    rmSync(filler)
    await world.until(
      'two',
      found => findCondition(found?.status.conditions ?? [], 'RoomAvailable')?.status === 'True',
    )
    const end =
      'until [ -s /workspaces/end ]; do sleep 0.1; done; cat /workspaces/end; stat -c %s /workspaces/long'
    expect(await world.say('two', end)).toBe(`180\n${180 * MIB}`)
    expect(await available()).toBe('True')
    await expectMarked(world, two)
    await world.settled()
  })

  test('an environment that is held up can be stopped, and started when there is room', async () => {
    const two = [...world.known.values()].find(({ name }) => name === 'two')!
    const filler = join(world.stack.dataDir, 'filler')
    // Less than half of what is kept: everybody waits.
    execFileSync('fallocate', ['--length', String(freeBytes() - 50 * MIB), filler])
    await world.until(
      'two',
      found => findCondition(found?.status.conditions ?? [], 'RoomAvailable')?.status === 'False',
    )
    await world.desire(two, 'Stopped')
    await world.settled()
    rmSync(filler)
    await world.desire(two, 'Running')
    await world.settled()
    await expectMarked(world, two)
  })

  test('a copy that finds the pool full in the middle is not there, and says why', async () => {
    // Once copied, a disk that is written to here and there lies in pieces, and to note each of them takes room.
    const base = await world.create('base', { environment: { name: 'two' } })
    await world.settled()
    const writes = 'for (1 .. 600) { sysseek F, 4096 * int rand 40000, 0; syswrite F, "x" x 4096 }'
    await world.say('two', `perl -e 'open F, "+<", "/workspaces/long"; ${writes}'; sync`)
    await world.remove(base)
    await world.settled()
    const pool = join(world.stack.dataDir, 'host', 'pool')
    const filler = join(pool, 'filler')
    await world.failpoints.order('linux.disk-copying', 'stop')
    const copy = await world.create('copy', { environment: { name: 'two' } })
    const runner = await frozen(world.stack)
    // The pool promises more than its host has, so that this takes nothing from the host.
    const { bavail, bsize } = statfsSync(pool)
    execFileSync('fallocate', ['--length', String(bavail * bsize - 8 * MIB), filler])
    const rest = spawnSync('dd', ['if=/dev/zero', `of=${filler}-rest`, 'bs=4k', 'conv=fsync'])
    expect(String(rest.stderr)).toMatch(/No space left on device/)
    signal(runner, 'SIGCONT')
    const ready = (found: { status: { conditions: Condition[] } } | undefined) =>
      findCondition(found?.status.conditions ?? [], 'Ready')
    const failed = await world.until('copy', found => ready(found)?.fault === 'exhausted')
    expect(ready(failed)).toMatchObject({
      reason: 'PoolFull',
      fault: 'exhausted',
      message: expect.stringMatching(/^copy the disk .*No space left on device/),
      hint: expect.stringMatching(/delete environments/),
    })
    expect((await hostFacts(world.stack)).folders).toContain(`${copy.uid}: environment.json`)
    for (const name of [filler, `${filler}-rest`]) rmSync(name)
    await world.until(
      'two',
      found => findCondition(found?.status.conditions ?? [], 'RoomAvailable')?.status !== 'False',
    )
    await world.desire(copy, 'Stopped')
    await world.until('copy', found => found?.status.phase === 'Stopped')
    await world.desire(copy, 'Running')
    await world.settled()
    await expectMarked(world, copy)
  })
})
