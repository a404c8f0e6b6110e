import { expect, test } from 'vitest'
import { conditionOf, say, useLifeCycle } from '../../test/support/life-cycle.ts'
import { isTrue } from '../api/conditions.ts'
import { Fault, toFault } from '../lib/fault.ts'

const life = useLifeCycle()
const { misbehave, images, content } = life

test('what may pass is tried again, and it is said when', async () => {
  content.exits = [75]
  const { entrances } = await life.launch()
  const created = await life.create({
    content: { git: { url: 'https://git.example.com/app', directory: 'app' } },
  })
  const retrying = await life.until(
    created,
    found => conditionOf(found, 'Ready')?.reason === 'RepositoryUnreachable',
  )
  expect(retrying?.status.phase).toBe('Creating')
  expect(conditionOf(retrying, 'Ready')?.message).toContain('trying again in 1 s (attempt 2 of 4)')
  expect(conditionOf(retrying, 'ContentReady')).toMatchObject({ status: 'False', hint: 'try later' })
  const up = await life.running(created, 1)
  expect(isTrue(up?.status.conditions ?? [], 'ContentReady')).toBe(true)
  expect(await say(entrances, created, 'echo in')).toBe('in\n')
})

test('what will not pass is Failed at once, says why, and waits for a person', async () => {
  content.exits = [128]
  const { entrances } = await life.launch()
  const created = await life.create({ content: { git: { url: 'https://git.example.com/app', ref: 'nope' } } })
  const failed = await life.phase(created, 'Failed')
  expect(conditionOf(failed, 'Ready')).toMatchObject({
    status: 'False',
    reason: 'RefNotFound',
    message: expect.stringContaining('clone: exit 128'),
    hint: 'name a branch that exists',
  })
  expect((await entrances.exec(created.metadata.uid).catch(toFault)) as Fault).toMatchObject({
    code: 'environment-failed',
    hint: 'name a branch that exists',
  })
  // Asked to stop and to start again: that is a person's answer.
  await life.desire(created, 'Stopped')
  await life.phase(created, 'Stopped')
  await life.desire(created, 'Running')
  await life.running(created, 1)
})

test('a driver that keeps failing is given up after a few attempts', async () => {
  const fault = () =>
    new Fault('exhausted', 'no-space-left', 'make a disk: no space left', { hint: 'delete something' })
  misbehave.failEnsure = [fault(), fault()]
  await life.launch()
  const lucky = await life.create()
  expect((await life.running(lucky, 3))?.status.epoch).toBe(3)
  misbehave.failDisk = new Fault('invalid', 'disk-wrong', 'make a disk: never')
  const failed = await life.phase(await life.create(), 'Failed')
  expect(conditionOf(failed, 'Ready')).toMatchObject({ reason: 'DiskWrong' })
})

test('an image from a registry that cannot be reached is replaced, and it is said', async () => {
  images.fail = name =>
    name.startsWith('registry') ? new Fault('unavailable', 'registry-unreachable', 'no route') : undefined
  await life.launch()
  const up = await life.running(await life.create(), 1)
  expect(up?.status.image?.reference).toBe('bootstrap:bookworm')
  expect(conditionOf(up, 'ImageReady')).toMatchObject({
    status: 'True',
    reason: 'Fallback',
    message: expect.stringContaining('no route'),
  })
  // Who names an image gets that one or none.
  images.fail = () => new Fault('not_found', 'image-missing', 'no such tag')
  const named = await life.phase(await life.create({ image: 'registry.example.com/mine:1' }), 'Failed')
  expect(conditionOf(named, 'ImageReady')).toMatchObject({ status: 'False', reason: 'ImageMissing' })
  expect(isTrue(named?.status.conditions ?? [], 'ImageReady')).toBe(false)
})

test('a stall is noticed by silence, slow work is not', async () => {
  images.delayMs = 1_500
  await life.launch({ stallMs: 400 })
  await life.running(await life.create({ image: 'registry.example.com/slow:1' }), 1)
  images.hang = true
  const created = await life.create({ image: 'registry.example.com/hanging:1' })
  const stalled = await life.until(created, found => conditionOf(found, 'Ready')?.reason === 'Stalled')
  expect(conditionOf(stalled, 'ImageReady')?.message).toMatch(
    /no progress for 1 s; the last that was heard: image: fetching/,
  )
  images.hang = false
  await life.running(created, 1)
})

test('stopping and deleting do not wait for work that nobody wants any more', async () => {
  images.hang = true
  const { driver } = await life.launch()
  const created = await life.create({ image: 'registry.example.com/hanging:2' })
  await life.phase(created, 'Creating')
  await life.desire(created, 'Stopped')
  await life.phase(created, 'Stopped')
  await life.desire(created, 'Running')
  await life.phase(created, 'Creating')
  await life.remove(created)
  await life.until(created, found => found === undefined)
  expect(await driver.list()).toEqual([])
})

test('a sandbox that ends by itself is started again, with its disk, and with a pause if it goes on ending', async () => {
  misbehave.dieAfterMs = 150
  const { entrances } = await life.launch()
  const created = await life.create()
  await say(entrances, created, 'echo kept > /workspaces/file')
  const ended = await life.until(created, found =>
    /starting it again in/.test(conditionOf(found, 'Ready')?.message ?? ''),
  )
  expect(conditionOf(ended, 'Ready')).toMatchObject({ status: 'False', reason: 'SandboxEnded' })
  expect(ended?.status.phase).toBe('Starting')
  delete misbehave.dieAfterMs
  const up = await life.until(
    created,
    found => found?.status.phase === 'Running' && (found?.status.epoch ?? 0) > 2,
  )
  expect(up?.status.epoch).toBe(3)
  expect(await say(entrances, created, 'cat /workspaces/file')).toBe('kept\n')
})

test('a failing destroy is said, and tried until it succeeds', async () => {
  const { driver } = await life.launch()
  const created = await life.create()
  await life.running(created, 1)
  misbehave.failDestroy = new Fault('internal', 'umount-busy', 'unmount: busy')
  await life.remove(created)
  const stuck = await life.until(created, found => conditionOf(found, 'Ready')?.reason === 'DeleteFailed')
  expect(stuck?.status.phase).toBe('Deleting')
  delete misbehave.failDestroy
  await life.until(created, found => found === undefined)
  expect(await driver.list()).toEqual([])
})
