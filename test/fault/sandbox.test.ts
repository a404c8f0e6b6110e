// What a sandbox is made of dies piece by piece: its keeper, its first process, its runtime, whoever entered it, and all
// of it at once as in a power cut.
import { execFileSync } from 'node:child_process'
import { constants, copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { findCondition } from '../../src/api/conditions.ts'
import { isFault } from '../../src/lib/fault.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { titled } from '../support/requirements.ts'
import { hostFacts } from './host-facts.ts'
import { frozen, isAlive, kill, processes, read, signal, stateOf } from './processes.ts'
import { expectMarked, type Known, openWorld, type World } from './world.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('a sandbox', why), () => {
  let world: World
  let one: Known

  beforeAll(async () => {
    world = await openWorld()
    one = await world.create('one')
    await world.settled()
    await world.mark(one)
  })
  afterAll(() => world.close())
  afterEach(() => world.settled())

  const environments = () => {
    const host = join(world.stack.dataDir, 'host')
    return join(existsSync(join(host, 'pool')) ? join(host, 'pool') : host, 'environments')
  }
  const disk = () => join(environments(), one.uid, 'disk.img')
  const keeperPid = () =>
    processes().find(({ argv }) => argv[0]?.trim() === `bothy-keeper ${one.uid}`)?.pid as number
  const isLocked = () => {
    try {
      execFileSync('flock', ['--nonblock', disk(), 'true'])
      return false
    } catch {
      // Somebody else has it.
      return true
    }
  }

  test('lives on without its keeper, and its disk is free only when it has ended', async () => {
    const { epoch, initPid } = one
    signal(keeperPid(), 'SIGKILL')
    await expect.poll(keeperPid).toBeUndefined()
    await expectMarked(world, one)
    expect(isLocked()).toBe(true)
    expect((await world.find('one'))?.status).toMatchObject({ epoch, phase: 'Running' })
    expect(isAlive(initPid as number)).toBe(true)

    await world.desire(one, 'Stopped')
    await world.settled()
    expect(isLocked()).toBe(false)
    await world.desire(one, 'Running')
    await world.settled()
    expect(one.epoch).toBe(epoch + 1)
    await expectMarked(world, one)
  })

  test('lives on without its keeper through a restart of the runner, and its end is noticed', async () => {
    const { epoch, initPid } = one
    signal(keeperPid(), 'SIGKILL')
    await expect.poll(keeperPid).toBeUndefined()
    await kill(world.stack, 'everything')
    await world.stack.start()
    await expectMarked(world, one)
    expect(isAlive(initPid as number)).toBe(true)
    expect((await world.find('one'))?.status.epoch).toBe(epoch)
    delete one.initPid
    signal(initPid, 'SIGKILL')
    await world.until('one', found => (found?.status.epoch ?? 0) > epoch && found?.status.phase === 'Running')
    await expectMarked(world, one)
  })

  test('is started again when its first process is killed, and a condition says why', async () => {
    const { epoch, initPid } = one
    delete one.initPid
    const reasons = await world.client(async ({ store }) => {
      const { at } = await store.list('Environment', { namespace: 'default' })
      signal(initPid, 'SIGKILL')
      const seen: string[] = []
      const options = { namespace: 'default', from: at }
      for await (const { object } of store.watch('Environment', options, AbortSignal.timeout(20_000))) {
        const ready = findCondition(object.status.conditions, 'Ready')
        seen.push(`${object.status.epoch} ${ready?.reason}: ${ready?.message}`)
        if (object.status.epoch > epoch && ready?.status === 'True') break
      }
      return seen
    })
    expect(reasons[0]).toBe(`${epoch + 1} SandboxEnded: the sandbox was ended by SIGKILL; starting it again`)
    await world.settled()
    expect(one.epoch).toBe(epoch + 1)
    await expectMarked(world, one)
  })

  test('survives that the runtime is killed in the middle of an exec', async () => {
    let hits = 0
    for (let attempt = 0; hits < 3 && attempt < 100; attempt++) {
      let over = false
      const said = world
        .say('one', 'echo through')
        .catch((error: Error) => error)
        .finally(() => {
          over = true
        })
      while (!over) {
        const runtime = processes().find(
          ({ argv }) => argv[0] === 'crun' && argv.includes('exec') && argv.includes(one.uid),
        )
        if (runtime !== undefined) {
          signal(runtime.pid, 'SIGKILL')
          hits += 1
        }
        await new Promise(resolve => setImmediate(resolve))
      }
      const answer = await said
      // It was too late to hurt, or the caller is told.
      if (answer instanceof Error) expect(isFault(answer) || /signal/.test(answer.message)).toBe(true)
      else expect(answer).toBe('through')
    }
    expect(hits).toBeGreaterThanOrEqual(3)
    expect(await world.say('one', 'echo after')).toBe('after')
    await expect.poll(execFiles).toEqual([])
  })

  const execFiles = () =>
    readdirSync(join('/run/bothy', shortId, one.uid)).filter(name => name.startsWith('exec-'))
  let shortId: string
  beforeAll(async () => {
    shortId = await world.stack.shortId()
  })

  test('ends a command whose caller vanishes', async () => {
    const marker = `31337${process.pid}`
    const caller = world.stack.open(['exec', 'one', '--', 'sh', '-c', `echo begun; sleep ${marker}`])
    await caller.until(/begun/)
    const inside = () => processes().filter(({ argv }) => argv[0] === 'sleep' && argv[1] === marker)
    // It is started when the other is heard, or a moment later.
    await expect.poll(inside).toHaveLength(1)
    await caller.end('SIGKILL')
    await expect.poll(inside, { timeout: 20_000 }).toEqual([])
    await expect.poll(execFiles).toEqual([])
  })

  test('a start that is slower than the end of its runner is given up, not carried out twice', async () => {
    // The keeper gets its plan and does not come to carrying it out before another runner is there.
    await world.desire(one, 'Stopped')
    await world.settled()
    const spare = processes().find(
      ({ parent, argv }) => parent === world.stack.up.child.pid && argv[1]?.endsWith('/keeper.pl'),
    )?.pid as number
    signal(spare, 'SIGSTOP')
    await expect.poll(() => stateOf(spare)).toBe('T')
    await world.failpoints.order('linux.keeper-planned', 'stop')
    await world.desire(one, 'Running')
    await frozen(world.stack)
    await kill(world.stack, 'everything')
    await world.stack.start()
    await world.until('one', found => found?.status.phase === 'Running')
    signal(spare, 'SIGCONT')
    await expect.poll(() => isAlive(spare)).toBe(false)
    await world.settled()
    await expectMarked(world, one)
  })

  test('comes back from a power cut with what it had written', async () => {
    await world.say('one', 'echo synced > /workspaces/synced; sync; echo more > /workspaces/more')
    // What a disk holds when the power goes is what has reached it: the image as it is now, its journal not replayed.
    const image = disk()
    copyFileSync(image, `${image}.cut`, constants.COPYFILE_FICLONE_FORCE)
    expect(execFileSync('dumpe2fs', ['-h', `${image}.cut`], { encoding: 'utf8', stdio: 'pipe' })).toMatch(
      /needs_recovery/,
    )
    await kill(world.stack, 'everything')
    await killSandboxes()
    copyFileSync(`${image}.cut`, image, constants.COPYFILE_FICLONE_FORCE)
    rmSync(`${image}.cut`)
    forgetWhatRebootsForget()

    const { epoch } = one
    delete one.initPid
    await world.stack.start()
    await world.settled()
    expect(one.epoch).toBe(epoch + 1)
    await expectMarked(world, one)
    expect(await world.say('one', 'cat /workspaces/synced')).toBe('synced')
    expect(await world.say('one', 'dmesg >/dev/null 2>&1; touch /workspaces/writable && echo yes')).toBe(
      'yes',
    )
  })

  async function killSandboxes(): Promise<void> {
    const { inits } = await hostFacts(world.stack)
    const pids = [keeperPid(), ...inits.map(line => Number(line.split(' ')[1]))]
    for (const pid of pids) signal(pid, 'SIGKILL')
    await expect.poll(() => pids.filter(isAlive)).toEqual([])
    // The kernel ends the mounts after the processes.
    await expect.poll(async () => (await hostFacts(world.stack)).loops, { timeout: 10_000 }).toEqual([])
  }

  /** Mounts, tables and everything below /run: the data folder is all that is left. */
  function forgetWhatRebootsForget(): void {
    const host = join(world.stack.dataDir, 'host')
    for (const target of [join(host, 'pool'), host]) {
      if (read('/proc/self/mountinfo')?.includes(` ${target} `)) execFileSync('umount', [target])
    }
    execFileSync('nft', ['delete', 'table', 'inet', `bothy_${shortId}`])
    rmSync(join('/run/bothy', shortId), { recursive: true })
    for (const name of readdirSync('/run/bothy/slots')) {
      const path = join('/run/bothy/slots', name)
      if (read(path)?.startsWith(`${shortId}/`)) rmSync(path)
    }
  }
})
