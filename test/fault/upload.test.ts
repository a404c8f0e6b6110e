// Content that a client sends, cut off between any two steps: it is made once, whole, and what it was made of is gone.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { findCondition } from '../../src/api/conditions.ts'
import { uploadContent } from '../../src/client/upload-content.ts'
import { toFault } from '../../src/lib/fault.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { lacking, titled } from '../support/requirements.ts'
import { openWorld, type World } from './world.ts'

const why = whyNoSandboxes() ?? lacking({ programs: ['git'] })

describe.skipIf(why !== undefined)(titled('an upload', why), () => {
  let world: World
  let bundle: Buffer
  let serial = 0

  beforeAll(async () => {
    world = await openWorld()
    const repository = join(world.stack.folder, 'repository')
    mkdirSync(repository)
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', repository, '-c', 'user.name=T', '-c', 'user.email=t@example.com', ...args])
    git('init', '--quiet', '--initial-branch=main')
    writeFileSync(join(repository, 'file'), 'sent\n')
    git('add', '.')
    git('commit', '--quiet', '--message=one')
    git('bundle', 'create', '--quiet', 'all.bundle', '--all', 'HEAD')
    bundle = readFileSync(join(repository, 'all.bundle'))
  })
  afterAll(() => world.close())

  const key = (name: string) => ({ kind: 'Environment', namespace: 'default', name }) as const

  /** As a client does that does not give up. */
  const send = (name: string) =>
    vi.waitFor(
      () =>
        world.client(async client => {
          const grant = await client.entrance(key(name), 'content')
          const never = new AbortController().signal
          await uploadContent(grant, Readable.from([bundle]), never).catch(error => {
            // It had come through, and only the answer was lost.
            if (toFault(error).code !== 'content-there-already') throw error
          })
        }),
      { timeout: 30_000, interval: 100 },
    )

  const create = async () => {
    const made = await world.create(`env-${++serial}`, { upload: { directory: 'app' } })
    await world.until(
      made.name,
      found => findCondition(found?.status.conditions ?? [], 'ContentReady')?.reason === 'AwaitingUpload',
    )
    return made
  }

  test('passes the points that are listed here', async () => {
    const one = await create()
    await world.failpoints.trace()
    await send(one.name)
    await world.settled()
    const passed = (await world.failpoints.trace()).filter(point => !point.startsWith('server.'))
    expect([...new Set(passed)].filter(point => TRIALS.some(trial => trial[0] === point))).toEqual([
      ...new Set(TRIALS.map(([point]) => point)),
    ])
  })

  const TRIALS = [
    ['runner.bundle-received', 'runner', 0],
    ['runner.bundle-received', 'server', 0],
    ['runner.bundle-kept', 'everything', 0],
    ['runner.bundle-kept', 'database', 0],
    ['linux.disk-copied', 'runner', 0],
    ['linux.keeper-spawned', 'everything', 0],
    ['linux.keeper-spawned', 'server', 0],
    ['linux.keeper-planned', 'runner', 0],
    ['linux.keeper-planned', 'database', 0],
    ['runner.content-made', 'everything', 0],
    ['runner.content-made', 'server', 0],
    ['runner.content-recorded', 'runner', 0],
    ['runner.content-recorded', 'database', 0],
    ['runner.announced', 'everything', 0],
  ] as const

  test.each(TRIALS)('at %s, %s is killed', async (point, victim) => {
    const one = await create()
    await world.strike(point, victim, () => send(one.name))
    await world.settled()
    expect(await world.say(one.name, 'cat /workspaces/app/file; ls -A /workspaces')).toBe('sent\napp')
    await world.remove(one)
    await world.settled()
  })
})
