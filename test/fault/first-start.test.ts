// The very first start, cut off at every step, one after the other on one data folder: each next start goes on.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { testImage } from '../support/image.ts'
import { titled } from '../support/requirements.ts'
import { testClass } from '../support/stack.ts'
import { expectMarked, openWorld, type World } from './world.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('the first start', why), () => {
  let world: World
  beforeAll(async () => {
    world = await openWorld({ isStarted: false })
  })
  afterAll(() => world.close())

  test.each([
    'server.cluster-made',
    'server.authority-key-made',
    'server.admin-known',
    'up.runner-declared',
    'runner.redeemed',
    'linux.pool-made',
  ])('cut off at %s', async point => {
    await world.failpoints.order(point, 'kill')
    await expect(world.stack.start()).rejects.toThrow(/ended/)
    expect(await world.failpoints.trace()).toContain(point)
    expect(await world.failpoints.clear()).toEqual([])
  })

  test('and then it starts', async () => {
    await world.stack.start()
    await world.stack.ok('apply -f -', { stdin: testClass('small', (await testImage()).reference) })
    const one = await world.create('one')
    await world.settled()
    await world.mark(one)
    await expectMarked(world, one)
    const { items } = await world.client(({ store }) => store.list('Runner', { namespace: 'default' }))
    expect(items.map(({ metadata }) => metadata.name)).toEqual(['local'])
  })
})
