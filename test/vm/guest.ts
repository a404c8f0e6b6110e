// Runs in a virtual machine, as its only program: a sandbox under control groups of version 2, and engines in it.
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { createLinuxDriver } from '../../src/adapters/linux/driver.ts'
import type { Sandbox } from '../../src/core/driver.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { uuidv7 } from '../../src/lib/ids.ts'
import { silentLog } from '../../src/lib/log.ts'
import { tellFound } from './found.ts'

const shortId = 'tvm001'
const driver = createLinuxDriver({ shortId, dir: '/data/pool', clock: systemClock, log: silentLog })
const signal = AbortSignal.timeout(1_500_000)
await driver.prepare(signal)
const id = uuidv7()
await driver.ensureDisk(id, 2 * 2 ** 30, signal)
const image = { reference: 'root', digest: 'none', layers: ['/'], env: [], workingDir: '/', user: 'root' }
const limits = { memoryBytes: 2 ** 30, pids: 1024 }
let sandbox: Sandbox = await driver.ensure({ id, name: 'box', epoch: 1, image, env: {}, ...limits }, signal)

async function sh(script: string, group?: 'session' | 'work'): Promise<string[]> {
  const argv = ['/bin/sh', '-c', script]
  const stream = await sandbox.exec({ argv, ...(group === undefined ? {} : { group }) }, signal)
  stream.stdin.end()
  const [out, said] = await Promise.all([text(stream.stdout), text(stream.stderr!), stream.exit])
  process.stdout.write(said)
  return out.trim().split('\n')
}

const ROOT = `mkdir -p /srv/r/bin; cp /bin/busybox /srv/r/bin; for a in sh echo cat; do ln -s busybox /srv/r/bin/$a; done; tar -C /srv/r -cf /srv/r.tar .`
const held = (...files: string[]) =>
  files.map(file => readFileSync(`/sys/fs/cgroup/bothy-${shortId}/${id}/${file}`, 'utf8').trim())

/** What is seen and done by governors. */
async function governed(): Promise<Record<string, readonly unknown[]>> {
  const resources = await driver.openResources()
  await sh('i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done')
  const { cpu, memory } = (await resources.sense()).environments.get(id) ?? {}
  const limits = { weight: 200, sessionWeight: 10_000, workWeight: 50, workCores: 0.5, cores: 1.5 }
  await resources.act({ kind: 'cpu', id, limits }, signal)
  await resources.act({ kind: 'freeze', id, frozen: true, reason: 'idle' }, signal)
  const files = [
    'cpu.weight',
    'session/cpu.weight',
    'work/cpu.weight',
    'cpu.max',
    'work/cpu.max',
    'cgroup.freeze',
  ]
  const tightened = held(...files)
  await resources.release()
  const released = held(...files)
  await sh('rmdir /sys/fs/cgroup/session', 'work')
  const again = await sh('cat /proc/self/cgroup')
  const busy = await sandbox.exec({ argv: ['sh', '-c', 'while :; do :; done'] }, signal)
  const look = async () => (await resources.jobs(id)).find(each => each.in === 'session')
  let job = await look()
  for (let tries = 0; tries < 600 && job === undefined; tries++, job = await look())
    await systemClock.sleep(100, signal)
  if (job !== undefined) await resources.act({ ...job, kind: 'move', id, to: 'work' }, signal)
  const moved = (await resources.jobs(id)).find(each => each.group === job?.group)
  busy.exit.catch(() => undefined) // Ended with its sandbox.
  return {
    seen: [cpu !== undefined && cpu.sessionUs > 0 && cpu.usageUs >= cpu.sessionUs, memory?.limitBytes],
    tightened,
    released,
    again,
    moved: [moved?.in, moved?.isFromSession],
    afterDeath: await afterDeath(),
  }
}

/** A runner of its own process is killed while it holds the sandbox up. */
async function afterDeath(): Promise<string[]> {
  await driver.close()
  const runner = spawn(
    process.execPath,
    [new URL('killed-runner.ts', import.meta.url).pathname, shortId, id],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  await new Promise(resolve => runner.stdout.once('data', resolve))
  const tightened = held('work/cpu.max', 'cgroup.freeze')
  runner.kill('SIGKILL')
  const isOver = () => held('work/cpu.max', 'cgroup.freeze').join() === 'max 100000,0'
  for (let tries = 0; tries < 600 && !isOver(); tries++) await systemClock.sleep(100, signal)
  await driver.prepare(signal)
  sandbox = (await driver.find(id)) ?? sandbox
  return [...tightened, ...held('work/cpu.max', 'cgroup.freeze')]
}

const found = {
  groups: [
    ...(await sh('cat /proc/1/cgroup /proc/self/cgroup')),
    ...(await sh('cat /proc/self/cgroup', 'work')),
  ],
  settings: await sh(
    `find /sys/fs/cgroup/session /sys/fs/cgroup/work -maxdepth 1 -type f | sort | perl -MFcntl -ne 'chomp; print "$_\\n" if sysopen(my $f, $_, O_WRONLY | O_NONBLOCK)'`,
  ),
  governed: await governed(),
  limits: await sh(
    'cd /sys/fs/cgroup; cat memory.max pids.max cgroup.max.descendants cgroup.subtree_control',
  ),
  writable: await sh(
    `find /sys/fs/cgroup -maxdepth 1 -type f | sort | perl -MFcntl -ne 'chomp; print "$_\\n" if sysopen(my $f, $_, O_WRONLY | O_NONBLOCK)'`,
  ),
  divided: await sh('cd /sys/fs/cgroup; mkdir own; echo 64M >own/memory.max; cat own/memory.max; rmdir own'),
  docker: await sh(
    `${ROOT}; (dockerd >/tmp/log 2>&1 &); for i in $(seq 600); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
     docker info --format '{{.Driver}} {{.CgroupVersion}}' 2>/dev/null; docker import /srv/r.tar tiny >/dev/null; docker run --rm tiny echo run
     docker run --rm -m 64m --cpus 0.5 tiny cat /sys/fs/cgroup/memory.max; docker run --rm --privileged tiny echo privileged
     printf 'FROM tiny\\nRUN echo built >/made\\nCMD cat /made\\n' | docker build -q -t made - >/dev/null; docker run --rm made`,
  ),
  podman: await sh('podman import -q /srv/r.tar tiny >/dev/null 2>&1; podman run --rm tiny echo run'),
  most: await sh(`perl -e 'my $n = 0; $n++ while mkdir "/sys/fs/cgroup/work/g$n"; print "$n\\n"'`),
}
await sandbox.stop(10_000)
await driver.destroy(id)
await driver.teardown()
const left = readdirSync('/sys/fs/cgroup').filter(name => name.startsWith('bothy'))
process.stdout.write(tellFound({ ...found, left }))
process.exit(0)
