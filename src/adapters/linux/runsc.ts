// Isolation `gvisor`: programs inside run on a kernel of their own, in user space (the sentry). The host's kernel is asked
// by that one alone, which is nobody, in a user namespace that maps nobody else, in an empty root, behind a filter; and for
// files by a second process (the gofer), which has the ids of the environment, sees its root and its disk, and no network.
//
// Processes inside are none of the host's: what is to be done with them is done inside, with inside.pl.
import { readdir, readFile } from 'node:fs/promises'
import { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { Fault } from '../../lib/fault.ts'
import { runProcess } from '../../lib/run-process.ts'
import { makeLimitedCgroup } from './cgroup-limits.ts'
import { processesIn } from './cgroups.ts'
import { HELPER_ENV } from './helper.ts'
import { INSIDE_TARGET, insideArgv } from './inside-tools.ts'
import { cgroupPath, type RuntimePaths } from './layout.ts'
import { processConfig, type SandboxConfig, sandboxConfig } from './oci-config.ts'
import { noAnswer, READ_BYTES, READ_MS } from './read-inside.ts'
import type { RunscProgram } from './runsc-program.ts'
import type { Limits, RunningSandbox, Runtime } from './runtime.ts'
import { leadsTerminal, sendSignal } from './signals.ts'

// What the sentry and the gofer take for themselves: threads of Go, and beyond its own the memory of the sentry is that of
// the programs inside.
const OWN: Limits = { memoryBytes: 64 * 2 ** 20, pids: 128 }
// The sentry ends by itself, and writes down what files have become, when its first process does.
const END_MS = 5_000
const POLL_MS = 20

// Of Linux 5.8 and newer; this kernel has never heard of them and would refuse the config.
const UNKNOWN_CAPABILITIES = new Set(['CAP_BPF', 'CAP_CHECKPOINT_RESTORE', 'CAP_PERFMON'])
// It has neither.
const UNKNOWN_MOUNTS = new Set(['cgroup', 'mqueue'])

// Below the sandbox's own folder, so that it goes with it. Short: newer versions make a socket there.
const stateDir = (paths: RuntimePaths): string => `${paths.dir}/gv`

export function createRunsc(program: RunscProgram, insideDir: string): Runtime {
  const run = (paths: RuntimePaths, log: string): string[] => [
    program.path,
    ...['--root', stateDir(paths), '--log', log, '--platform', program.platform],
    ...['--network', 'sandbox', '--net-raw', '--ignore-cgroups'],
    // Newer versions would keep what is written to the root in a file of their own.
    ...(program.flags.has('overlay2') ? ['--overlay2', 'none'] : []),
    // Newer versions would have the sentry open files by itself.
    ...(program.flags.has('directfs') ? ['--directfs=false'] : []),
  ]
  const call = (sandbox: Pick<RunningSandbox, 'paths'>, ...argv: string[]) => {
    const [file = program.path, ...rest] = [...run(sandbox.paths, '/dev/null'), ...argv]
    // Pipes for all three: the descriptors of a command are given to the sandbox's user on the host, as whose /dev/null must
    // not end.
    return runProcess([file, ...rest], { input: '', env: HELPER_ENV, signal: AbortSignal.timeout(END_MS) })
  }

  return {
    isolation: 'gvisor',
    runsInitSystems: false,
    givesDevices: false,
    // The network is wired between the two halves of a start.
    stages: { overlay: 'mount', start: 'sandbox' },
    makeCgroups: (cgroups, path, { memoryBytes, pids }) =>
      makeLimitedCgroup(cgroups, path, {
        memoryBytes: memoryBytes + OWN.memoryBytes,
        pids: pids + OWN.pids,
      }),
    configure: config => runscConfig(config, insideDir),
    configureProcess: config => knownProcess(processConfig(config) as OciProcess),

    startSteps: ({ id, host, paths }, { link }) => [
      ['enter', ...host.ownCgroups(id)],
      [
        ...['run', paths.pid, paths.log, ...run(paths, paths.log)],
        ...['create', '--bundle', paths.bundle, '--pid-file', paths.pid, id],
      ] as [string, ...string[]],
      link,
      // It takes addresses and routes of the link over when it starts. Versions up to 2024 know the host's own network by
      // a file there that Linux 6.12 has in every network, and would refuse to touch it.
      ['hide', '/proc/sys/net'],
      ['start', paths.log, ...run(paths, paths.log), 'start', id],
    ],

    learn: async () => undefined,
    // The host sees one process, whatever goes on inside: there is nothing to tell apart.
    keepGroups: async () => undefined,

    execPlan({ id, paths }, files) {
      // Its last words go to standard error first, which is the command's: it ends when nobody has that open any more.
      const runsc = [...run(paths, '/dev/null'), '--debug-log', files.log]
      const quiet = run(paths, '/dev/null')
      // Its process group, and if nothing more can be started inside, at least the command itself.
      const killers = [
        [...quiet, 'exec', id, ...insideArgv('kill', '%')],
        [...quiet, 'kill', '--pid', '%', id, 'KILL'],
      ]
      return {
        options: [...['--inside', files.inside], ...killers.flatMap(argv => ['--killer', argv.join('\t')])],
        argv: [
          ...runsc,
          ...['exec', '--detach', '--pid-file', files.pid, '--internal-pid-file', files.inside],
          ...['--process', files.json],
          ...(files.console === undefined ? [] : ['--console-socket', files.console]),
          id,
        ],
      }
    },

    async readInside({ exec }, path, signal) {
      const slow = AbortSignal.timeout(READ_MS)
      const stream = await exec(
        { argv: insideArgv('read', path, String(READ_BYTES)), user: 'root' },
        AbortSignal.any([signal, slow]),
      )
      stream.stdin.end()
      stream.stderr?.resume()
      const [said] = await Promise.all([text(stream.stdout), stream.exit])
      signal.throwIfAborted()
      if (slow.aborted) throw noAnswer(path)
      return said
    },

    dial: dialThroughExec,

    async tell(sandbox, what) {
      const word = what === 'SIGTERM' ? 'TERM' : '0'
      if (what === 'SIGHUP') for (const pid of await terminalsOf(sandbox)) sendSignal(pid, what)
      // One that does not answer is asked no more; the grace goes on, or it has ended.
      const said = await call(sandbox, 'exec', sandbox.id, ...insideArgv('tell', word)).catch(() => undefined)
      const left = Number(said?.stdout.trim() || Number.NaN)
      return Number.isNaN(left) ? ((await isThere(sandbox)) ? 1 : 0) : left
    },

    async end(sandbox) {
      await call(sandbox, 'kill', sandbox.id, 'KILL').catch(() => undefined) // It does not answer: see below.
      const deadline = sandbox.clock.now() + END_MS
      while (sandbox.clock.now() < deadline && (await isThere(sandbox))) await sandbox.clock.sleep(POLL_MS)
      if (await isThere(sandbox)) sendSignal(sandbox.initPid, 'SIGKILL')
    },
  }
}

/** Processes of the host that hold terminals of the sandbox. What is signalled to them is passed on to who has it. */
async function terminalsOf({ paths }: RunningSandbox): Promise<number[]> {
  const found: number[] = []
  for (const name of (await readdir('/proc')).filter(each => /^[0-9]+$/.test(each))) {
    const argv = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0') // Gone.
    const isOurs = argv.some(each => each === stateDir(paths) || each === `--root=${stateDir(paths)}`)
    if (isOurs && argv.includes('exec') && (await leadsTerminal(Number(name)))) found.push(Number(name))
  }
  return found
}

async function isThere({ cgroups, host, id, initPid }: RunningSandbox): Promise<boolean> {
  return (await processesIn(cgroups, cgroupPath(host.layout, id))).includes(initPid)
}

/** What is known to gVisor of a config; the rest (filter, control groups, sysctls) is its own business. */
export function runscConfig(config: SandboxConfig, insideDir: string): object {
  const full = sandboxConfig({
    ...config,
    compiledFilter: undefined,
    mounts: [
      ...config.mounts.filter(({ isDevice }) => isDevice !== true),
      { source: insideDir, target: INSIDE_TARGET, readOnly: true },
    ],
  }) as OciConfig
  const { namespaces, uidMappings, gidMappings } = full.linux
  return {
    ...full,
    process: knownProcess(full.process),
    mounts: full.mounts.filter(({ type }) => !UNKNOWN_MOUNTS.has(type)),
    linux: { namespaces, uidMappings, gidMappings },
  }
}

function knownProcess(process: OciProcess): object {
  const known = (names: readonly string[]) => names.filter(name => !UNKNOWN_CAPABILITIES.has(name))
  const sets = Object.entries(process.capabilities).map(([set, names]) => [set, known(names)])
  return { ...process, capabilities: Object.fromEntries(sets) }
}

interface OciProcess {
  readonly capabilities: Readonly<Record<string, readonly string[]>>
}

interface OciConfig {
  readonly process: OciProcess
  readonly mounts: readonly { readonly type: string }[]
  readonly linux: {
    readonly namespaces: readonly object[]
    readonly uidMappings: readonly object[]
    readonly gidMappings: readonly object[]
  }
}

/** The network inside is the sentry's: no process of the host can join it. */
async function dialThroughExec({ exec }: RunningSandbox, port: number, signal: AbortSignal): Promise<Duplex> {
  const over = new AbortController()
  const either = AbortSignal.any([signal, over.signal])
  const stream = await exec({ argv: insideArgv('dial', String(port)), user: 'root', cwd: '/' }, either)
  let said = ''
  const connected = new Promise<boolean>(resolve => {
    stream.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-200)
      if (said.includes('connected\n')) resolve(true)
    })
    stream.exit.then(
      () => resolve(false),
      () => resolve(false),
    )
  })
  if (!(await connected)) {
    signal.throwIfAborted()
    throw new Fault('unavailable', 'port-refused', `dial port ${port}: nobody listens ${said}`.trim(), {
      hint: 'is something listening on it?',
    })
  }
  const socket = Duplex.from({ readable: stream.stdout, writable: stream.stdin })
  socket.on('error', () => undefined) // It calls an error what is only the wish of its user to close it early.
  socket.once('close', () => over.abort())
  return socket
}
