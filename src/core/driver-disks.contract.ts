// What every driver owes of disks: copies, snapshots, sizes. Part of the driver contract.
import { text } from 'node:stream/consumers'
import { expect } from 'vitest'
import { isFault, toFault } from '../lib/fault.ts'
import { uuidv7 } from '../lib/ids.ts'
import type { Driver, Sandbox, SandboxSpec } from './driver.ts'

export const DISK_PROMISES = [
  'a disk is copied from a stopped environment, and both go their own ways',
  'a disk is copied from a running environment, which goes on',
  'two copies at once are both complete',
  'a copy of what is not there faults not_found and leaves no disk',
  'a disk that is there is not replaced by a copy',
  'an aborted copy leaves no disk',
  'a snapshot outlives its environment, and disks are made of it',
  'snapshots are listed, found and removed',
  'a disk grows while its sandbox runs',
  'a disk grows when it is stopped',
  'a disk never shrinks',
] as const

export interface DiskContract {
  /** The latest instance. */
  readonly driver: () => Driver
  readonly promise: (
    title: (typeof DISK_PROMISES)[number],
    body: (spec: SandboxSpec, signal: AbortSignal) => Promise<void>,
  ) => void
  /** Of another environment, which is removed after the test. */
  readonly specOf: (environment: string) => SandboxSpec
  readonly start: (spec: SandboxSpec, signal: AbortSignal) => Promise<Sandbox>
  readonly restart: () => Promise<void>
}

export const DISK_BYTES = 256 * 2 ** 20

export function diskPromises({ driver, promise, specOf, start, restart }: DiskContract): void {
  promise('a disk is copied from a stopped environment, and both go their own ways', async (spec, signal) => {
    const source = await start(spec, signal)
    await say(source, 'echo one > /workspaces/file; echo one > "${HOME:-/root}/file"', signal)
    await source.stop(1_000)
    const other = specOf('brave-heron')
    expect((await driver().copyDisk(other.id, { environment: spec.id }, signal))?.pausedMs).toBe(0)
    expect(await driver().list()).toContain(other.id)
    const [one, two] = await Promise.all([
      driver().ensure({ ...spec, epoch: 2 }, signal),
      driver().ensure(other, signal),
    ])
    await say(two, 'echo two > /workspaces/file', signal)
    const look = 'cat /workspaces/file "${HOME:-/root}/file"'
    expect([await say(one, look, signal), await say(two, look, signal)]).toEqual(['one\none\n', 'two\none\n'])
  })

  promise('a disk is copied from a running environment, which goes on', async (spec, signal) => {
    const source = await start(spec, signal)
    await say(source, 'echo one > /workspaces/file', signal)
    const other = specOf('brave-heron')
    const copied = await driver().copyDisk(other.id, { environment: spec.id }, signal)
    expect(copied?.pausedMs).toBeLessThan(5_000)
    expect(await say(source, 'echo more >> /workspaces/file; cat /workspaces/file', signal)).toBe(
      'one\nmore\n',
    )
    const copy = await driver().ensure(other, signal)
    expect(await say(copy, 'cat /workspaces/file', signal)).toBe('one\n')
  })

  promise('two copies at once are both complete', async (spec, signal) => {
    const source = await start(spec, signal)
    await say(source, 'echo one > /workspaces/file', signal)
    const others = [specOf('brave-heron'), specOf('shy-lynx')]
    await Promise.all(others.map(({ id }) => driver().copyDisk(id, { environment: spec.id }, signal)))
    const copies = await Promise.all(others.map(each => driver().ensure(each, signal)))
    for (const copy of copies) expect(await say(copy, 'cat /workspaces/file', signal)).toBe('one\n')
  })

  promise('a copy of what is not there faults not_found and leaves no disk', async (spec, signal) => {
    for (const source of [{ environment: uuidv7() }, { snapshot: uuidv7() }]) {
      const refused = await driver().copyDisk(spec.id, source, signal).catch(toFault)
      expect(isFault(refused) && refused.reason).toBe('not_found')
    }
    expect(await driver().findDisk(spec.id)).toBeUndefined()
  })

  promise('a disk that is there is not replaced by a copy', async (spec, signal) => {
    const source = await start(spec, signal)
    await say(source, 'echo one > /workspaces/file', signal)
    const other = specOf('brave-heron')
    await driver().ensureDisk(other.id, DISK_BYTES, signal)
    expect(await driver().copyDisk(other.id, { environment: spec.id }, signal)).toBeUndefined()
    expect(await say(await driver().ensure(other, signal), 'find /workspaces -mindepth 1', signal)).toBe('')
  })

  promise('an aborted copy leaves no disk', async (spec, signal) => {
    await start(spec, signal)
    const other = specOf('brave-heron')
    const refused = await driver()
      .copyDisk(other.id, { environment: spec.id }, AbortSignal.abort())
      .catch(error => toFault(error).reason)
    expect(refused).toBe('cancelled')
    expect(await driver().findDisk(other.id)).toBeUndefined()
  })

  promise('a snapshot outlives its environment, and disks are made of it', async (spec, signal) => {
    const source = await start(spec, signal)
    await say(source, 'echo one > /workspaces/file', signal)
    const snapshot = uuidv7()
    expect(await driver().takeSnapshot(snapshot, spec.id, signal)).toBeDefined()
    await say(source, 'echo two > /workspaces/file', signal)
    expect(await driver().takeSnapshot(snapshot, spec.id, signal)).toBeUndefined()
    await driver().destroy(spec.id)
    const other = specOf('brave-heron')
    await driver().copyDisk(other.id, { snapshot }, signal)
    await driver().destroySnapshot(snapshot)
    expect(await say(await driver().ensure(other, signal), 'cat /workspaces/file', signal)).toBe('one\n')
  })

  promise('snapshots are listed, found and removed', async (spec, signal) => {
    await driver().ensureDisk(spec.id, DISK_BYTES, signal)
    const snapshot = uuidv7()
    expect(await driver().findSnapshot(snapshot)).toBeUndefined()
    await driver().takeSnapshot(snapshot, spec.id, signal)
    await restart()
    expect(await driver().listSnapshots()).toContain(snapshot)
    expect(await driver().list()).not.toContain(snapshot)
    expect((await driver().findSnapshot(snapshot))?.sizeBytes).toBe(
      (await driver().findDisk(spec.id))?.sizeBytes,
    )
    await driver().destroySnapshot(snapshot)
    await driver().destroySnapshot(snapshot)
    expect(await driver().findSnapshot(snapshot)).toBeUndefined()
    expect(await driver().listSnapshots()).not.toContain(snapshot)
  })

  promise('a disk grows while its sandbox runs', async (spec, signal) => {
    const sandbox = await start(spec, signal)
    const before = await roomOf(sandbox, signal)
    await driver().ensureDisk(spec.id, 2 * DISK_BYTES, signal)
    expect(await roomOf(sandbox, signal)).toBeGreaterThan(before + 0.8 * DISK_BYTES)
    expect((await driver().findDisk(spec.id))?.sizeBytes).toBe(2 * DISK_BYTES)
  })

  promise('a disk grows when it is stopped', async (spec, signal) => {
    const sandbox = await start(spec, signal)
    await say(sandbox, 'echo kept > /workspaces/file', signal)
    const before = await roomOf(sandbox, signal)
    await sandbox.stop(1_000)
    await driver().ensureDisk(spec.id, 3 * DISK_BYTES, signal)
    expect((await driver().findDisk(spec.id))?.sizeBytes).toBe(3 * DISK_BYTES)
    const again = await driver().ensure({ ...spec, epoch: 2 }, signal)
    expect(await roomOf(again, signal)).toBeGreaterThan(before + 1.8 * DISK_BYTES)
    expect(await say(again, 'cat /workspaces/file', signal)).toBe('kept\n')
  })

  promise('a disk never shrinks', async (spec, signal) => {
    await driver().ensureDisk(spec.id, 2 * DISK_BYTES, signal)
    await driver().ensureDisk(spec.id, DISK_BYTES, signal)
    expect((await driver().findDisk(spec.id))?.sizeBytes).toBeGreaterThanOrEqual(2 * DISK_BYTES)
  })
}

/** Bytes that the disk has in all, as seen inside. */
async function roomOf(sandbox: Sandbox, signal: AbortSignal): Promise<number> {
  return Number(await say(sandbox, "df -Pk /workspaces | awk 'END { print $2 }'", signal)) * 1024
}

/** Standard output of a script that must succeed. */
export async function say(sandbox: Sandbox, script: string, signal: AbortSignal): Promise<string> {
  const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script] }, signal)
  stream.stdin.end()
  const [stdout, stderr] = await Promise.all([
    text(stream.stdout),
    stream.stderr === undefined ? '' : text(stream.stderr),
    stream.exit,
  ])
  if (stderr !== '') process.stderr.write(`inside: ${stderr}`)
  return stdout
}
