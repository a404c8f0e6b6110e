// Twenty at once: nobody gets what another one has, and nothing of them stays.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { titled } from '../support/requirements.ts'
import { kill } from './processes.ts'
import { openWorld, type World } from './world.ts'

const why = whyNoSandboxes()
const COUNT = 20

describe.skipIf(why !== undefined)(titled('many at once', why), () => {
  let world: World
  beforeAll(async () => {
    world = await openWorld()
  })
  afterAll(() => world.close())

  const all = Array.from({ length: COUNT }, (_, index) => `env-${index}`)

  test.each([false, true])(
    'all run, each in a place of its own, and all go (killed in between: %s)',
    async isKilled => {
      const startedMs = performance.now()
      const made = await Promise.all(all.map(name => world.create(name)))
      if (isKilled) {
        await kill(world.stack, 'everything')
        await world.stack.start()
      }
      await world.settled()
      const runningMs = performance.now()
      // The addresses that they see themselves, beside what the host says of slots and interfaces.
      const inside = await Promise.all(
        all.map(name => world.say(name, 'cat /etc/hosts; cat /proc/self/uid_map')),
      )
      expect(new Set(inside.map(text => /198\.1[89]\.\d+\.\d+/.exec(text)?.[0])).size).toBe(COUNT)
      expect(new Set(inside.map(text => /^\s*0\s+(\d+)/m.exec(text)?.[1])).size).toBe(COUNT)
      const removingMs = performance.now()
      const removed = Promise.all(made.map(each => world.remove(each)))
      if (isKilled) {
        await removed
        await kill(world.stack, 'everything')
        await world.stack.start()
      }
      await removed
      await world.settled()
      const seconds = (ms: number) => (ms / 1000).toFixed(1)
      process.stdout.write(
        `${COUNT} environments: running after ${seconds(runningMs - startedMs)} s, gone after ${seconds(performance.now() - removingMs)} s\n`,
      )
    },
  )
})
