// Runs in a virtual machine, as its only program: limits of disks under control groups of version 2.
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { createLinuxDriver } from '../../src/adapters/linux/driver.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { uuidv7 } from '../../src/lib/ids.ts'
import { silentLog } from '../../src/lib/log.ts'
import { tellAnswer } from './answer.ts'

const MIB = 2 ** 20
const shortId = 'tvm002'
const driver = createLinuxDriver({ shortId, dir: '/data/pool', clock: systemClock, log: silentLog })
const signal = AbortSignal.timeout(1_500_000)
await driver.prepare(signal)
const id = uuidv7()
await driver.ensureDisk(id, 2 * 2 ** 30, signal)
const image = { reference: 'root', digest: 'none', layers: ['/'], env: [], workingDir: '/', user: 'root' }
const limits = { memoryBytes: 2 ** 30, pids: 1024 }
const sandbox = await driver.ensure({ id, name: 'box', epoch: 1, image, env: {}, ...limits }, signal)
const resources = await driver.openResources()
const entry = () => readFileSync(`/sys/fs/cgroup/bothy-${shortId}/${id}/io.max`, 'utf8').trim()
const limit = (bytes?: number) =>
  resources.act(
    { kind: 'io', id, limits: bytes === undefined ? {} : { weight: 50, writeBytesPerSecond: bytes } },
    signal,
  )

/** How long 40 MiB take that are written through the page cache and then flushed. */
async function writeMs(): Promise<number> {
  const sinceMs = performance.now()
  const argv = ['/bin/sh', '-c', 'dd if=/dev/zero of=/workspaces/f bs=1M count=40 conv=fsync 2>&1']
  const stream = await sandbox.exec({ argv }, signal)
  stream.stdin.end()
  const [said, exit] = await Promise.all([text(stream.stdout), stream.exit])
  if (!('code' in exit) || exit.code !== 0) throw new Error(said)
  return Math.round(performance.now() - sinceMs)
}

const freeMs = await writeMs()
await limit(4 * MIB)
const tightened = entry().replace(/^\d+:/, '')
const heldMs = await writeMs()
const written = (await resources.sense()).environments.get(id)?.io?.writtenBytes ?? 0
await limit()
const loosened = entry()
await limit(4 * MIB)
await resources.release()
const released = entry()
await sandbox.stop(10_000)
await driver.teardown()
const found = { abilities: resources.abilities, tightened, loosened, released, freeMs, heldMs, written }
tellAnswer(found)
process.exit(0)
