import { expect, test } from 'vitest'
import {
  conditionOf,
  type Environment,
  keyOf,
  say,
  storeWith,
  useLifeCycle,
} from '../../test/support/life-cycle.ts'
import { Fault } from '../lib/fault.ts'

const life = useLifeCycle()
const { misbehave, images } = life

// Takes its time to end, so that there is something to interrupt.
const STUBBORN = 'trap "sleep 1; exit" TERM; while :; do sleep 0.1; done'

test.each(['Pending', 'Creating', 'Starting', 'Running', 'Stopping', 'Stopped', 'Deleting', 'Failed'])(
  'a runner that is restarted in phase %s goes on where it was',
  async phase => {
    images.delayMs = 300
    misbehave.startDelayMs = 300
    const one = await life.launch()
    const created = await life.create()
    const at = (wanted: string) => life.phase(created, wanted)
    if (phase === 'Failed') images.fail = () => new Fault('not_found', 'image-missing', 'no such image')
    if (phase === 'Pending') await one.stop()
    if (['Stopping', 'Stopped', 'Deleting'].includes(phase)) {
      await life.running(created, 1)
      await say(
        one.entrances,
        created,
        `echo kept > /workspaces/file; (${STUBBORN}) >/dev/null 2>&1 </dev/null & echo`,
      )
    }
    if (phase === 'Stopping' || phase === 'Stopped') await life.desire(created, 'Stopped')
    if (phase === 'Deleting') await life.remove(created)
    if (phase !== 'Pending') await at(phase)
    await one.stop()
    const before = await life.store().find(keyOf(created))
    delete images.fail

    const two = await life.launch()
    switch (phase) {
      case 'Deleting':
        expect(await life.until(created, found => found === undefined)).toBeUndefined()
        return
      case 'Failed':
        // Parked stays parked: nobody changed anything.
        await life.running(await life.create(), 1)
        expect((await life.store().find(keyOf(created)))?.status.epoch).toBe(before?.status.epoch)
        return
      case 'Stopping':
      case 'Stopped':
        await at('Stopped')
        await life.desire(created, 'Running')
        await life.running(created, 2)
        expect(await say(two.entrances, created, 'cat /workspaces/file')).toBe('kept\n')
        return
      default: {
        const up = await life.phase(created, 'Running')
        expect(await say(two.entrances, created, 'echo alive')).toBe('alive\n')
        // What ran went on running; what had only been announced got an epoch of its own.
        const expected = { Pending: 1, Creating: 1, Starting: 2, Running: 1 }[phase]
        expect(up?.status.epoch).toBe(expected)
      }
    }
  },
)

test('what a deletion left is removed, but never because the server cannot be asked', async () => {
  const one = await life.launch()
  const kept = await life.create()
  const lost = await life.create()
  await Promise.all([life.running(kept, 1), life.running(lost, 1)])
  // The deletion is seen and cannot be carried out; then the finalizer is taken off by force while the runner is away.
  misbehave.failDestroy = new Fault('unavailable', 'disk-busy', 'busy')
  await life.remove(lost)
  await life.until(lost, found => conditionOf(found, 'Ready')?.reason === 'DeleteFailed')
  await one.stop()
  delete misbehave.failDestroy
  await loseFinalizer(lost)

  let reachable = false
  let asked = 0
  const flaky = storeWith(life.store, {
    find: async key => {
      if (key.kind === 'Environment') {
        asked += 1
        if (!reachable) throw new Fault('unavailable', 'server-away', 'no route')
      }
      return life.store().find(key)
    },
  })
  const two = await life.launch({ store: flaky })
  await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(1)
  expect((await two.driver.list()).toSorted()).toEqual([kept.metadata.uid, lost.metadata.uid].toSorted())
  reachable = true
  await expect.poll(() => two.driver.list(), { timeout: 10_000 }).toEqual([kept.metadata.uid])
  expect(await say(two.entrances, kept, 'echo alive')).toBe('alive\n')
})

test('what the server has forgotten is kept', async () => {
  const one = await life.launch()
  const forgotten = await life.create()
  await life.running(forgotten, 1)
  await say(one.entrances, forgotten, 'echo kept > /workspaces/file')
  await one.stop()
  await life.remove(forgotten)
  await loseFinalizer(forgotten)

  const two = await life.launch()
  // Whenever something goes, the runner looks at everything that lies here.
  const other = await life.create()
  await life.running(other, 1)
  await life.remove(other)
  await life.until(other, found => found === undefined)
  await life.running(await life.create(), 1)
  expect(await two.driver.list()).toContain(forgotten.metadata.uid)
  const sandbox = await two.driver.find(forgotten.metadata.uid)
  expect(sandbox?.epoch).toBe(1)
  await two.driver.destroy(forgotten.metadata.uid)
})

async function loseFinalizer(environment: Environment): Promise<void> {
  const latest = (await life.store().find(keyOf(environment))) as Environment
  await life.store().update({ ...latest, metadata: { ...latest.metadata, finalizers: [] } }, 'main')
}

test('a server that is away while the sandbox starts does not make it fail', async () => {
  let refused = 0
  const flaky = storeWith(life.store, {
    update: async (next, part) => {
      const status = next.status as { phase?: string }
      if (status.phase === 'Running' && refused++ < 2)
        throw new Fault('unavailable', 'server-away', 'no route')
      return life.store().update(next, part)
    },
  })
  await life.launch({ store: flaky })
  const up = await life.running(await life.create(), 1)
  expect([refused, up?.status.epoch]).toEqual([3, 1])
})
