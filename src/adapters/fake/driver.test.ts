import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { driverContract } from '../../core/driver.contract.ts'
import type { UnpackedImage } from '../../core/driver.ts'
import { execContract } from '../../core/exec.contract.ts'
import { systemClock } from '../../lib/clock.ts'
import { Fault, toFault } from '../../lib/fault.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { createFakeDriver, type Misbehaviour } from './driver.ts'
import { findMarked, SANDBOX_VARIABLE } from './processes.ts'

const image: UnpackedImage = {
  reference: 'none',
  digest: 'sha256:0',
  layers: [],
  env: [],
  workingDir: '/',
  user: '0',
}
const dir = await mkdtemp(join(tmpdir(), 'bothy-fake-'))
const never = new AbortController().signal

afterAll(async () => {
  await createFakeDriver({ dir, clock: systemClock }).teardown()
  expect(findMarked(SANDBOX_VARIABLE, value => value.startsWith(dir))).toEqual([])
  await rm(dir, { recursive: true })
})

const open = async () => {
  const driver = createFakeDriver({ dir, clock: systemClock })
  return { driver, image, close: () => driver.close() }
}

driverContract('fake', open, {
  'the root file system survives stop and ensure with the next epoch':
    'it has no root file system of its own',
  'a disk grows while its sandbox runs': 'its disks have no size of their own',
  'a disk grows when it is stopped': 'its disks have no size of their own',
  'the host name inside is the name of the environment': 'its processes share the name of the host',
})

execContract('fake', async () => {
  const { driver } = await open()
  const id = uuidv7()
  await driver.prepare(never)
  await driver.ensureDisk(id, 1, never)
  const sandbox = await driver.ensure(
    { id, name: 'exec', epoch: 1, image, env: {}, memoryBytes: 1, pids: 1 },
    never,
  )
  return sandbox.exec
})

test('it misbehaves on request', async () => {
  const misbehave: Misbehaviour = { failEnsure: [new Fault('exhausted', 'no-room', 'no room')] }
  const driver = createFakeDriver({ dir, clock: systemClock, misbehave })
  const spec = { id: uuidv7(), name: 'x', epoch: 1, image, env: {}, memoryBytes: 1, pids: 1 }
  await driver.ensureDisk(spec.id, 1, never)
  expect((await driver.ensure(spec, never).catch(toFault)) as Fault).toMatchObject({ code: 'no-room' })
  misbehave.dieAfterMs = 30
  const sandbox = await driver.ensure(spec, never)
  expect(await sandbox.ended).toEqual({ code: 0 })
  expect(await driver.find(spec.id)).toBeUndefined()
  await driver.destroy(spec.id)
  expect(await readdir(dir)).not.toContain(spec.id)
})

test('a first process that nobody wrote down is swept by the next instance', async () => {
  const driver = createFakeDriver({ dir, clock: systemClock })
  const spec = { id: uuidv7(), name: 'x', epoch: 1, image, env: {}, memoryBytes: 1, pids: 1 }
  await driver.ensureDisk(spec.id, 1, never)
  const sandbox = await driver.ensure(spec, never)
  await rm(join(driver.folder(spec.id), 'sandbox.json'))
  await createFakeDriver({ dir, clock: systemClock }).prepare(never)
  await sandbox.ended
  expect(findMarked(SANDBOX_VARIABLE, value => value.startsWith(driver.folder(spec.id)))).toEqual([])
  await driver.destroy(spec.id)
})
