// kill -9 in the middle of a creation and of a deletion, for every change; test/fault has it between any two steps.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectMarked, openWorld, type World } from '../fault/world.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { titled } from '../support/requirements.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('kill -9', why), () => {
  let world: World
  beforeAll(async () => {
    world = await openWorld()
  })
  afterAll(() => world.close())

  test.each([
    ['runner', 'linux.keeper-ready', 'linux.sandbox-removed'],
    ['server', 'server.committed', 'server.committing'],
    ['everything', 'linux.disk-copied', 'runner.destroyed'],
  ] as const)('of %s, during create (%s) and delete (%s)', async (victim, during, later) => {
    const made: { name: string }[] = []
    await world.strike(during, victim, async () => void made.push(await world.create(`of-${victim}`)))
    await world.settled()
    const one = [...world.known.values()][0]!
    expect(made).toEqual([one])
    await world.mark(one)
    await expectMarked(world, one)
    await world.strike(later, victim, () => world.remove(one))
    await world.settled()
  })
})
