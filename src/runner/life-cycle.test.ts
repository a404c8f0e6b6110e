import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually } from '../../test/support/eventually.ts'
import { conditionOf, say, useLifeCycle } from '../../test/support/life-cycle.ts'
import { findCondition, isTrue } from '../api/conditions.ts'
import { type Fault, toFault } from '../lib/fault.ts'

const life = useLifeCycle()

test('create, enter, stop, start again, delete', async () => {
  const { entrances, driver } = await life.launch()
  const created = await life.create()
  // No polling: the first command waits for what is on its way.
  expect(await say(entrances, created, 'echo kept > /workspaces/file; echo hello')).toBe('hello\n')
  const first = await life.running(created, 1)
  expect(isTrue(first?.status.conditions ?? [], 'Ready')).toBe(true)
  expect(
    first?.status.conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`).sort(),
  ).toEqual([
    'ContentReady True Empty',
    'ImageReady True Unpacked',
    'Ready True SandboxRunning',
    'Scheduled True Bound',
  ])
  expect(first?.status.stages.every(({ started, ended }) => ended !== undefined && ended >= started)).toBe(
    true,
  )
  expect(first?.status.stages.map(({ name }) => name).sort()).toEqual([
    'disk',
    'image',
    'start',
    'start/sandbox',
  ])

  await life.desire(created, 'Stopped')
  const stopped = await life.phase(created, 'Stopped')
  expect([conditionOf(stopped, 'Ready')?.reason, stopped?.status.epoch]).toEqual(['Stopped', 1])
  expect((await entrances.exec(created.metadata.uid).catch(toFault)) as Fault).toMatchObject({
    reason: 'unavailable',
    code: 'environment-stopped',
  })

  await life.desire(created, 'Running')
  await life.running(created, 2)
  expect(await say(entrances, created, 'cat /workspaces/file')).toBe('kept\n')

  await life.remove(created)
  await life.until(created, found => found === undefined)
  expect(await driver.list()).toEqual([])
  expect((await entrances.exec(created.metadata.uid).catch(toFault)) as Fault).toMatchObject({
    reason: 'not_found',
  })
})

test('with a cached image and no content, starting costs two writes after the binding', async () => {
  await life.launch()
  await life.running(await life.create(), 1)
  const created = await life.create()
  const up = await life.running(created, 1)
  const changes: string[] = []
  const until = new AbortController()
  const options = { namespace: 'default', from: created.metadata.resourceVersion }
  for await (const change of life.store().watch('Environment', options, until.signal)) {
    if (change.object.metadata.uid === created.metadata.uid) changes.push(change.object.status.phase)
    if (change.at === up?.metadata.resourceVersion) until.abort()
  }
  expect(changes).toEqual(['Pending', 'Starting', 'Running'])
})

test('its own status says what it is, and the environment remembers what it lies on', async () => {
  const { driver } = await life.launch()
  const created = await life.create()
  await life.running(created, 1)
  const here = await eventually(
    life.store(),
    { kind: 'Runner', namespace: 'default', name: 'here' },
    found => findCondition(found?.status.conditions ?? [], 'DriverReady')?.status === 'True',
  )
  expect(here?.status).toMatchObject({ version: 'test', driver: 'fake' })
  expect(here?.status.conditions.map(({ type }) => type).sort()).toEqual(['DriverReady', 'Ready'])
  const record = JSON.parse(
    await readFile(join(driver.folder(created.metadata.uid), 'environment.json'), 'utf8'),
  )
  expect(record).toMatchObject({
    uid: created.metadata.uid,
    content: {},
    image: { reference: 'registry.example.com/base:1' },
  })
})
