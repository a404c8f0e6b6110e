// Isolation `userns`: the host's kernel, in namespaces of the sandbox's own. crun makes them; everything inside is a process
// of the host, and is found, signalled and dialled from there.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { SandboxId } from '../../core/driver.ts'
import { processesIn } from './cgroups.ts'
import { dialInside } from './dial.ts'
import { divideCgroup, remakeGroups, SESSION, WORK } from './groups.ts'
import type { Step } from './keeper.ts'
import { cgroupPath, type Layout, type RuntimePaths, runtimeState } from './layout.ts'
import { processConfig, sandboxConfig } from './oci-config.ts'
import { readThroughProcess } from './read-inside.ts'
import type { RunningSandbox, Runtime } from './runtime.ts'
import type { Host } from './sandbox-plan.ts'
import { leadsTerminal, sendSignal } from './signals.ts'

export const CRUN: Runtime = {
  isolation: 'userns',
  runsInitSystems: true,
  givesDevices: true,
  stages: { overlay: 'mount', run: 'sandbox', veth: 'network' },
  makeCgroups: (cgroups, path, _limits, owner) => divideCgroup(cgroups, path, owner),
  configure: sandboxConfig,
  configureProcess: processConfig,

  startSteps({ id, host, paths }, { link, hasInit }) {
    return [
      ...inUnified(host, id, [
        'run',
        paths.pid,
        paths.log,
        ...crun(host.layout, paths.log),
        ...['run', '--detach', ...bundle(paths), id],
      ]),
      ...settleSteps(host, id, hasInit),
      link,
    ]
  },

  learn: ({ id, host }) => host.filter.learn(join(runtimeState(host.layout), id)),

  async keepGroups(cgroups, { id, host }) {
    const files = ([SESSION, WORK] as const).flatMap(group => host.joinFiles(id, group))
    if (files.some(file => !existsSync(file))) await remakeGroups(cgroups, cgroupPath(host.layout, id))
  },

  execPlan({ id, host }, files, { hasInit, group }) {
    const isShared = host.sharedGroup(id) !== undefined
    // Of work, an init system knows better: the runtime follows that one into the group that it has chosen.
    const subgroup = isShared && !(group === WORK && hasInit) ? ['--cgroup', group] : []
    // Elsewhere the runtime puts it into the sandbox's own group, whatever it is told.
    const settle = isShared ? [] : host.joinFiles(id, group).flatMap(each => ['--settle', each])
    return {
      options: [...host.unifiedCgroups(id).flatMap(each => ['--cgroup', each]), ...settle],
      argv: [
        ...crun(host.layout, files.log),
        ...['exec', '--detach', '--pid-file', files.pid, '--process', files.json],
        ...subgroup,
        ...(files.console === undefined ? [] : ['--tty', '--console-socket', files.console]),
        id,
      ],
    }
  },

  readInside: ({ initPid }, path, signal) => readThroughProcess(initPid, path, signal),
  dial: ({ initPid }, port, signal) => dialInside(initPid, port, signal),

  async tell(sandbox, what) {
    const others = await othersOf(sandbox)
    if (what === 'SIGTERM') for (const pid of others) sendSignal(pid, what)
    if (what === 'SIGHUP') for (const pid of others) if (await leadsTerminal(pid)) sendSignal(pid, what)
    return others.length
  },

  // The end of its first process ends everything in the namespace of processes.
  async end({ initPid }) {
    sendSignal(initPid, 'SIGKILL')
  },
}

/** A job is created first and started last: its program runs at once and must find its network. */
export function jobRunSteps(host: Host, paths: RuntimePaths, name: string, link: readonly Step[]): Step[] {
  const runtime = crun(host.layout, paths.log)
  return [
    ...inUnified(host, name, ['run', paths.pid, paths.log, ...runtime, 'create', ...bundle(paths), name]),
    ...link,
    ['start', paths.log, ...runtime, 'start', name],
  ]
}

// The first process is work. Under version 2 an init system divides the group by itself, in its own way.
function settleSteps(host: Host, id: SandboxId, hasInit: boolean): Step[] {
  const shared = host.sharedGroup(id)
  if (shared !== undefined && hasInit) return []
  const settle: Step = ['settle', ...host.joinFiles(id, WORK)]
  return shared === undefined ? [settle] : [settle, ['share', shared]]
}

// On hybrid hosts the runtime does not see the v2 hierarchy: what it starts is where the keeper is at that moment, and
// the sandbox's cgroup namespace begins there.
function inUnified(host: Host, leaf: string, step: Step): Step[] {
  const enter = host.unifiedCgroups(leaf)
  if (enter.length === 0) return [step]
  const leave = host.keeperCgroups.filter(file => file.startsWith('/sys/fs/cgroup/unified/'))
  return [
    ...enter.map((file): Step => ['cgroup', file]),
    step,
    ...leave.map((file): Step => ['cgroup', file]),
  ]
}

const crun = (layout: Layout, log: string): string[] => [
  ...['crun', '--root', runtimeState(layout), '--cgroup-manager', 'cgroupfs', '--log', log],
]
const bundle = (paths: RuntimePaths): string[] => ['--bundle', paths.bundle, '--pid-file', paths.pid]

async function othersOf({ id, cgroups, host, initPid }: RunningSandbox): Promise<number[]> {
  return (await processesIn(cgroups, cgroupPath(host.layout, id))).filter(pid => pid !== initPid)
}
