// Runs in a virtual machine, as its only program: memory of a sandbox under control groups of version 2.
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { createLinuxDriver } from '../../src/adapters/linux/driver.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { isFault } from '../../src/lib/fault.ts'
import { uuidv7 } from '../../src/lib/ids.ts'
import { silentLog } from '../../src/lib/log.ts'
import { tellAnswer } from './answer.ts'

const MIB = 2 ** 20
const shortId = 'tvm003'
const swap = { mode: 'zram', sizeBytes: 512 * MIB } as const
const driver = createLinuxDriver({ shortId, dir: '/data/pool', swap, clock: systemClock, log: silentLog })
const signal = AbortSignal.timeout(1_500_000)
await driver.prepare(signal)
const id = uuidv7()
await driver.ensureDisk(id, 2 * 2 ** 30, signal)
const image = { reference: 'root', digest: 'none', layers: ['/'], env: [], workingDir: '/', user: 'root' }
const limits = { memoryBytes: 256 * MIB, pids: 1024 }
const sandbox = await driver.ensure({ id, name: 'box', epoch: 1, image, env: {}, ...limits }, signal)
const resources = await driver.openResources()

const group = `/sys/fs/cgroup/bothy-${shortId}`
const read = (...files: string[]) => files.map(file => readFileSync(`${group}/${file}`, 'utf8').trim())
const bytes = () => Number(read(`${id}/memory.current`)[0])
const start = async (script: string, to: 'session' | 'work') => {
  const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script], group: to }, signal)
  stream.stderr?.resume()
  return stream
}
const eater = (mebibytes: number) =>
  `exec perl -e '$0 = "bomb"; $| = 1; $x = "x"; $x x= ${mebibytes} << 20; print "full\\n"; sleep 600'`

const started = read(`${id}/memory.max`, `${id}/memory.swap.max`)
await resources.act({ kind: 'memory', id, limitBytes: 192 * MIB, protectedBytes: 48 * MIB }, signal)
const set = read(
  ...[
    `${id}/memory.max`,
    `${id}/memory.swap.max`,
    `${id}/memory.low`,
    `${id}/session/memory.low`,
    'memory.low',
  ],
)
const killer = await resources.act({ kind: 'hold-killer', id, held: true }, signal).then(
  () => 'held',
  (error: unknown) => (isFault(error) ? error.reason : String(error)),
)

const idle = await start(eater(100), 'work')
await new Promise(resolve => idle.stdout.once('data', resolve))
const before = bytes()
await resources.act({ kind: 'freeze', id, frozen: true, reason: 'idle' }, signal)
await resources.act({ kind: 'reclaim', id, bytes: before }, signal)
const after = bytes()
const sinceMs = performance.now()
await resources.wake(id)
const wokenMs = performance.now() - sinceMs

const shell = await start('while read -r line; do echo "$line $(date +%s)"; done', 'session')
const ask = async () => {
  shell.stdin.write('hello\n')
  return String(await new Promise(resolve => shell.stdout.once('data', resolve))).startsWith('hello ')
}
const bomb = await start(eater(1000), 'work')
const ended = await Promise.race([text(bomb.stdout).then(() => bomb.exit), systemClock.sleep(300_000)])
const answers = await ask()
let sample = (await resources.sense()).environments.get(id)?.memory
for (let tries = 0; tries < 100 && sample?.lastShot === undefined; tries++) {
  await systemClock.sleep(100, signal)
  sample = (await resources.sense()).environments.get(id)?.memory
}
await sandbox.stop(10_000)
await driver.teardown()
const { abilities } = resources
const swaps = readFileSync('/proc/swaps', 'utf8').trim().split('\n').length - 1
const found = { abilities, started, set, killer, before, after, wokenMs, ended, answers, sample, swaps }
tellAnswer(found)
process.exit(0)
