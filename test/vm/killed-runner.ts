// A runner that holds a sandbox up until somebody kills it.
import { createLinuxDriver } from '../../src/adapters/linux/driver.ts'
import type { SandboxId } from '../../src/core/driver.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'

const [shortId = '', id = ''] = process.argv.slice(2)
const signal = AbortSignal.timeout(600_000)
const driver = createLinuxDriver({ shortId, dir: '/data/pool', clock: systemClock, log: silentLog })
await driver.prepare(signal)
const resources = await driver.openResources()
const limits = { weight: 1, sessionWeight: 10_000, workWeight: 100, workCores: 0.1 }
await resources.act({ kind: 'cpu', id: id as SandboxId, limits }, signal)
await resources.act({ kind: 'freeze', id: id as SandboxId, frozen: true, reason: 'idle' }, signal)
process.stdout.write('held\n')
await systemClock.sleep(600_000)
