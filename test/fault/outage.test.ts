// The server is away, or is not the one that it was. Environments run on, nothing is destroyed for want of an answer,
// and what was asked for in time is done later.
import { execFileSync } from 'node:child_process'
import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { detectCgroups, removeCgroup } from '../../src/adapters/linux/cgroups.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { testImage } from '../support/image.ts'
import { titled } from '../support/requirements.ts'
import { testClass } from '../support/stack.ts'
import { hostFacts } from './host-facts.ts'
import { isAlive, kill, pidOf, signal, stateOf } from './processes.ts'
import { expectMarked, type Known, openWorld, type World } from './world.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('an outage of the server', why), () => {
  let world: World
  let one: Known

  beforeAll(async () => {
    world = await openWorld()
    one = await world.create('one')
    await world.settled()
    await world.mark(one)
  })
  afterAll(() => world.close())

  test.each(['SIGSTOP', 'SIGKILL'] as const)('%s: those who are inside stay inside', async name => {
    const lines = new Readable({ read: () => undefined })
    const script = 'echo in; while read x; do echo "got $x"; done'
    const inside = world.stack.open(['exec', 'one', '--', 'sh', '-c', script], { stdin: lines })
    await inside.until(/in/)
    const server = pidOf(world.stack, 'server')
    signal(server, name)
    if (name === 'SIGSTOP') await expect.poll(() => stateOf(server as number)).toBe('T')
    else await expect.poll(() => isAlive(server as number)).toBe(false)
    lines.push('first\n')
    await inside.until(/got first/)
    signal(server, 'SIGCONT')
    await world.settled()
    lines.push('second\n')
    await inside.until(/got second/)
    lines.push(null)
    expect((await inside.result).code).toBe(0)
  })

  test('what was asked for before is done after it', async () => {
    const [gone, stopped] = [await world.create('gone'), await world.create('stopped')]
    await world.settled()
    await world.mark(stopped)
    // The runner does not come to hearing of it before the server is frozen; long enough for its connections to notice.
    const runner = pidOf(world.stack, 'runner')
    signal(runner, 'SIGSTOP')
    await world.remove(gone)
    await world.desire(stopped, 'Stopped')
    const server = pidOf(world.stack, 'server')
    signal(server, 'SIGSTOP')
    await expect.poll(() => stateOf(server as number)).toBe('T')
    signal(runner, 'SIGCONT')
    await expectNothingDestroyed([one, stopped, { ...gone, desired: 'Running' }])
    signal(server, 'SIGCONT')
    await world.settled()
    await world.desire(stopped, 'Running')
    await world.settled()
    await expectMarked(world, stopped)
    await world.remove(stopped)
    await world.settled()
  })

  test('a server that takes its time to end is waited for', async () => {
    const server = pidOf(world.stack, 'server') as number
    signal(server, 'SIGSTOP')
    await expect.poll(() => stateOf(server)).toBe('T')
    await kill(world.stack, 'runner')
    const starting = world.stack.start()
    await vi.waitFor(() => expect(world.stack.up.said()).toMatch(/waiting for another process/), 20_000)
    signal(server, 'SIGCONT')
    await starting
    await world.settled()
    await expectMarked(world, one)
  })

  /** All sandboxes that ran are running: the same ones. */
  async function expectNothingDestroyed(known: readonly Known[]): Promise<void> {
    const { inits, folders } = await hostFacts(world.stack)
    for (const { uid, initPid } of known) {
      if (initPid !== undefined) expect(inits).toContain(`${uid} ${initPid}`)
      expect(folders).toContain(`${uid}: disk.img environment.json`)
    }
  }

  test('an emptied database costs nobody a disk, and with the old one everything is as it was', async () => {
    const shortId = await world.stack.shortId()
    const before = await hostFacts(world.stack)
    const database = join(world.stack.dataDir, 'postgres')
    await world.stack.up.end()
    renameSync(database, `${database}-aside`)

    await world.stack.start()
    expect(world.stack.up.said()).toMatch(/the server does not know this machine any more/)
    expect(await world.find('one')).toBeUndefined()
    await world.stack.ok('apply -f -', { stdin: testClass('small', (await testImage()).reference) })
    const other = await world.create('other')
    await world.until('other', found => found?.status.phase === 'Running')
    await world.remove(other)
    await world.until('other', found => found === undefined)
    expect(await world.stack.shortId()).not.toBe(shortId)
    expect(isAlive(one.initPid as number)).toBe(true)
    expect((await hostFacts(world.stack)).folders).toEqual(before.folders)

    await world.stack.up.end()
    await forgetRunner(await world.stack.shortId())
    renameSync(database, `${database}-emptied`)
    renameSync(`${database}-aside`, database)
    await world.stack.start()
    await world.settled()
    expect(await hostFacts(world.stack)).toEqual(before)
    await expectMarked(world, one)
  })

  test('a database of yesterday costs nobody a disk either', async () => {
    const database = join(world.stack.dataDir, 'postgres')
    await world.stack.up.end()
    execFileSync('cp', ['--archive', database, `${database}-yesterday`])
    await world.stack.start()
    const today = await world.create('today')
    await world.settled()
    await world.mark(today)

    await world.stack.up.end()
    renameSync(database, `${database}-today`)
    renameSync(`${database}-yesterday`, database)
    await world.stack.start()
    await world.until('one', found => found?.status.phase === 'Running')
    expect(await world.find('today')).toBeUndefined()
    await vi.waitFor(() => expect(world.stack.up.said()).toMatch(/kept: the server does not know it/), 20_000)
    await expectNothingDestroyed([one, today])
    await expectMarked(world, one)

    await world.stack.up.end()
    renameSync(database, `${database}-restored`)
    renameSync(`${database}-today`, database)
    await world.stack.start()
    await world.settled()
    await expectMarked(world, today)
    await world.remove(today)
    await world.settled()
  })

  test('bothy down ends the sandboxes also when nobody can be asked', async () => {
    const pgdata = join(world.stack.dataDir, 'postgres', 'data')
    await kill(world.stack, 'database')
    renameSync(pgdata, `${pgdata}-away`)
    const { code, stderr } = await world.stack.bothy(['down', '--data', world.stack.dataDir])
    expect([code, stderr]).toEqual([0, expect.stringMatching(/ending the sandboxes without the server/)])
    await world.stack.up.result
    expect((await hostFacts(world.stack)).inits).toEqual([])

    renameSync(`${pgdata}-away`, pgdata)
    delete one.initPid
    await world.stack.start()
    await world.settled()
    await expectMarked(world, one)
  })
})

/** What an enrolment that lasted for one test has left on the host: nobody will ask it to go any more. */
async function forgetRunner(shortId: string): Promise<void> {
  execFileSync('nft', ['delete', 'table', 'inet', `bothy_${shortId}`])
  await removeCgroup(await detectCgroups(), `/bothy-${shortId}`, systemClock)
  rmSync(join('/run/bothy', shortId), { recursive: true })
}
