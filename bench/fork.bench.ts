// A fork of a running environment with 1 GB and 5 GB of files beside cp -a; then after 100,000 random writes.
import { mkdtemp, rm } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { createLinuxDriver } from '../src/adapters/linux/driver.ts'
import type { DiskCopy, Sandbox } from '../src/core/driver.ts'
import { systemClock } from '../src/lib/clock.ts'
import { uuidv7 } from '../src/lib/ids.ts'
import { silentLog } from '../src/lib/log.ts'
import { testImage } from '../test/support/image.ts'
import { report } from './support/report.ts'
import { quiet } from './support/stack.ts'
import { Samples } from './support/stats.ts'

const ROUNDS = Number(process.argv[2] ?? 3)
const SIZES_GB = (process.argv[3] ?? '1,5').split(',').map(Number)
const DISK_BYTES = 20 * 2 ** 30
const WRITES = 100_000

// perl-base, which every Debian has, knows no monotonic clock and no fdatasync by name: system calls by number.
const NUMBERS = process.arch === 'arm64' ? { clock: 113, fdatasync: 83 } : { clock: 228, fdatasync: 75 }
const NOW = `sub now { my $t = chr(0) x 16; syscall(${NUMBERS.clock}, 1, $t); my ($s, $n) = unpack("q2", $t); $s * 1000 + $n / 1e6 }`
/** Writes and syncs until its input ends, then says how long the longest write took, in milliseconds. */
const PROBE = `${NOW} open(my $f, ">", "/workspaces/probe"); my $max = 0; $| = 1; print " "; my $bits = ""; vec($bits, 0, 1) = 1;
until (select(my $r = $bits, undef, undef, 0.001)) { my $t = now(); sysseek($f, 0, 0); syswrite($f, "x" x 4096); syscall(${NUMBERS.fdatasync}, fileno($f)); my $took = now() - $t; $max = $took if $took > $max } print $max, chr(10)`
const RANDOM_WRITES = `open(my $f, "+<", "/workspaces/tree/big"); for (1 .. $ARGV[0]) { sysseek($f, 4096 * int(rand(131072)), 0); syswrite($f, "y" x 4096) }`

const signal = new AbortController().signal
const image = await testImage(line => void process.stderr.write(`image: ${line}\n`))
const dir = await mkdtemp('/var/tmp/bothy-bench-')
const driver = createLinuxDriver({
  shortId: `b${uuidv7().slice(-5)}`,
  dir,
  clock: systemClock,
  log: silentLog,
})
const samples = new Samples()
const extents: Record<string, number> = {}
try {
  await driver.prepare(signal)
  for (const size of SIZES_GB) await benchSize(size)
} finally {
  for (const id of await driver.list()) await driver.destroy(id)
  await driver.teardown()
  await rm(dir, { recursive: true, force: true })
}
const of = (name: string) => samples.median(name)
report(
  'fork',
  samples,
  {
    ...Object.fromEntries(
      SIZES_GB.map(size => [`cp -a / fork, ${size} GB`, of(`cp -a, ${size} GB`) / of(`fork, ${size} GB`)]),
    ),
    'fork 5 GB / fork 1 GB': of('fork, 5 GB') / of('fork, 1 GB'),
    'worst pause inside, ms': Math.max(
      ...samples
        .names()
        .filter(each => each.startsWith('  pause inside'))
        .flatMap(each => samples.of(each)),
    ),
    ...extents,
  },
  [
    { ratio: 'worst pause inside, ms', most: 200 },
    { ratio: 'cp -a / fork, 5 GB', least: 20 },
  ],
)
process.exit(0)

async function benchSize(size: number): Promise<void> {
  const id = uuidv7()
  await driver.ensureDisk(id, DISK_BYTES, signal)
  const limits = { memoryBytes: 2 ** 30, pids: 512 }
  const sandbox = await driver.ensure({ id, name: 'parent', epoch: 1, image, env: {}, ...limits }, signal)
  // One file to write into, the rest as a tree of 256 KiB files.
  const files = size * 4096 - 2048
  await run(
    sandbox,
    'mkdir /workspaces/tree; cd /workspaces/tree; dd if=/dev/zero of=big bs=1M count=512 status=none',
  )
  await run(
    sandbox,
    `cd /workspaces/tree; for d in $(seq 0 ${Math.ceil(files / 256) - 1}); do mkdir $d; for f in $(seq 1 256); do head -c 262144 /dev/zero > $d/$f; done; done; sync`,
  )
  for (let round = 0; round < ROUNDS; round++) {
    await quiet()
    await fork(sandbox, `fork, ${size} GB`)
    await quiet()
    const begun = performance.now()
    await run(sandbox, 'cp -a /workspaces/tree /workspaces/copy && sync')
    samples.add(`cp -a, ${size} GB`, performance.now() - begun)
    await run(sandbox, 'rm -r /workspaces/copy; sync')
  }
  // The blocks are shared with a fork, so that each of these moves one elsewhere.
  const kept = uuidv7()
  await driver.copyDisk(kept, { environment: id }, signal)
  await run(sandbox, `perl -e '${RANDOM_WRITES}' ${WRITES}; sync`)
  for (let round = 0; round < ROUNDS; round++) {
    await quiet()
    await fork(sandbox, `fork, ${size} GB, after ${WRITES} random writes`)
  }
  await driver.destroy(kept)
  await driver.destroy(id)
}

/** While something inside writes and syncs all the time, and notices how long it had to wait. */
async function fork(parent: Sandbox, name: string): Promise<void> {
  const probe = await parent.exec({ argv: ['perl', '-e', PROBE] }, signal)
  await new Promise(resolve => probe.stdout.once('data', resolve))
  const child = uuidv7()
  const begun = performance.now()
  const copy = (await driver.copyDisk(child, { environment: parent.id }, signal)) as DiskCopy
  samples.add(name, performance.now() - begun)
  probe.stdin.end()
  probe.stderr?.resume()
  samples.add(`  frozen, of ${name}`, copy.pausedMs)
  samples.add(`  pause inside, of ${name}`, Number((await text(probe.stdout)).trim()))
  extents[`extents, ${name}`] = copy.extents ?? 0
  extents[`passes, ${name}`] = copy.passes ?? 0
  await driver.destroy(child)
}

async function run(sandbox: Sandbox, script: string): Promise<void> {
  const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script] }, signal)
  stream.stdin.end()
  stream.stdout.resume()
  const [said, exit] = await Promise.all([
    stream.stderr === undefined ? '' : text(stream.stderr),
    stream.exit,
  ])
  if (!('code' in exit) || exit.code !== 0)
    throw new Error(`inside: ${script.slice(0, 80)}: ${JSON.stringify(exit)} ${said}`)
}
