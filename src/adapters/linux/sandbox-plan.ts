// What the keeper does to start a sandbox or a job, and with which configuration: pure.
import type { DiskJob, SandboxSpec } from '../../core/driver.ts'
import { type DeviceEdits, NO_DEVICES } from './cdi.ts'
import type { CompiledFilter } from './compiled-filter.ts'
import { CRUN, jobRunSteps } from './crun.ts'
import { mergeEnv } from './exec.ts'
import type { Group } from './groups.ts'
import type { ShownFile } from './job-files.ts'
import type { Step } from './keeper.ts'
import { cgroupPath, diskFolder, diskImage, type Layout, type RuntimePaths, treeOf } from './layout.ts'
import { type Mount, sandboxConfig } from './oci-config.ts'
import { ownInit, type Runtime } from './runtime.ts'
import { IDS_PER_SLOT, interfaceName, PREFIX, type Slot } from './slots.ts'

/** Facts about the host that plans depend on. */
export interface Host {
  readonly layout: Layout
  /** cgroup.procs of the group that keepers live in. */
  readonly keeperCgroups: readonly string[]
  /** cgroup.procs, in the v2 hierarchy of a hybrid host, of one sandbox. */
  readonly unifiedCgroups: (leaf: string) => readonly string[]
  /** cgroup.procs of one sandbox, in every hierarchy, that processes can join by themselves. */
  readonly ownCgroups: (leaf: string) => readonly string[]
  /** cgroup.procs of one of the groups that a sandbox's own is divided into. */
  readonly joinFiles: (leaf: string, group: Group) => readonly string[]
  /** On hosts with version 2 alone: a sandbox's own group, in which no process may be while it is divided. */
  readonly sharedGroup: (leaf: string) => string | undefined
  /** Static init that reaps what nobody waits for (catatonit). */
  readonly initProgram: string
  /** What goes with a ceiling of memory: that of memory and swap together. Undefined: swap is not counted here. */
  readonly memoryAndSwapBytes: (memoryBytes: number) => number | undefined
  readonly maxOpenFiles: number
  /** The host hands core dumps to a program of its own. */
  readonly keepsCores: boolean
  readonly filter: CompiledFilter
  readonly arch: string
}

export const INIT_TARGET = '/dev/.bothy-init'

// Where container engines inside keep their layers, as on the disk's own file system: an overlay cannot be the upper side
// of another, so on the root they would fall back to copying every layer whole. Docker, podman, containerd, k3s.
const REAL_FOLDERS = {
  docker: '/var/lib/docker',
  containers: '/var/lib/containers',
  containerd: '/var/lib/containerd',
  rancher: '/var/lib/rancher',
} as const

/** Where the keeper makes the node of the n-th device; the sandbox sees it at its own path. */
const nodePath = (paths: RuntimePaths, index: number): string => `${paths.devices}/cdi${index}`

export function sandboxSteps(
  host: Host,
  paths: RuntimePaths,
  spec: SandboxSpec,
  slot: Slot,
  devices: DeviceEdits = NO_DEVICES,
  runtime: Runtime = CRUN,
): Step[] {
  const { layout } = host
  const layers = spec.image.layers.map((_, index) => paths.layer(index))
  const name = interfaceName(layout.shortId, slot.number, 'sandbox')
  const link: Step = ['veth', name, slot.hostAddress, slot.address, slot.hostAddress, PREFIX]
  const hasInit = ownInit(spec, runtime) !== undefined
  return [
    ['label', `bothy-keeper ${spec.id}`],
    ['mkdir', '0711', paths.devices],
    ['devices', paths.devices],
    ...devices.nodes.map(({ mode, major, minor, uid, gid }, index): Step => {
      const owner = [slot.idBase + uid, slot.idBase + gid] as const
      return ['node', nodePath(paths, index), mode.toString(8).padStart(4, '0'), major, minor, ...owner]
    }),
    ...diskSteps(layout, paths, spec.id, slot),
    ['mkdir', '0711', ...layers, paths.rootfs],
    ...spec.image.layers.map((layer, index): Step => ['idmap', layer, paths.layer(index)]),
    ['ballast', `${paths.disk}/ballast`],
    ['overlay', layers.join(':'), `${paths.shifted}/upper`, `${paths.shifted}/work`, paths.rootfs],
    ['refill', `${paths.disk}/ballast`],
    ...runtime.startSteps({ id: spec.id, host, paths }, { link, hasInit }),
    ['keep', paths.socket, paths.exit],
  ]
}

export function jobSteps(
  host: Host,
  paths: RuntimePaths,
  id: string,
  slot: Slot,
  files: readonly ShownFile[],
  online: boolean,
): Step[] {
  const { layout } = host
  const name = interfaceName(layout.shortId, slot.number, 'job')
  return [
    ['label', `bothy-job ${id}`],
    ['job'],
    ...diskSteps(layout, paths, id, slot),
    ...files.flatMap(({ source, shift }): Step[] => (shift === undefined ? [] : [['idmap', shift, source]])),
    ...jobRunSteps(
      host,
      paths,
      `job-${id}`,
      online ? [['veth', name, slot.hostAddress, slot.address, slot.hostAddress, PREFIX]] : [],
    ),
  ]
}

// The disk itself stays visible to the keeper alone; sandboxes see it through the shifted mount. Its folders are made
// on the unshifted side, where ids are as on disk.
function diskSteps(layout: Layout, paths: RuntimePaths, id: string, slot: Slot): Step[] {
  return [
    ['mkdir', '0711', paths.disk, paths.shifted],
    layout.disks === 'image'
      ? ['disk', diskImage(layout, id), paths.disk]
      : ['tree', treeOf(diskFolder(layout, id)), paths.disk],
    ['mkdir', '0755', `${paths.disk}/upper`, `${paths.disk}/work`, `${paths.disk}/workspaces`],
    ['mkdir', '0711', ...Object.keys(REAL_FOLDERS).map(name => `${paths.disk}/${name}`)],
    ['userns', slot.idBase, IDS_PER_SLOT],
    ['idmap', paths.disk, paths.shifted],
  ]
}

export function sandboxOciConfig(
  host: Host,
  paths: RuntimePaths,
  spec: SandboxSpec,
  slot: Slot,
  devices: DeviceEdits = NO_DEVICES,
  runtime: Runtime = CRUN,
): object {
  const init = ownInit(spec, runtime)
  const mounts: Mount[] = [
    { source: `${paths.shifted}/workspaces`, target: '/workspaces' },
    ...Object.entries(REAL_FOLDERS).map(
      ([name, target]): Mount => ({ source: `${paths.shifted}/${name}`, target }),
    ),
    { source: host.initProgram, target: INIT_TARGET, readOnly: true },
    { source: `${paths.files}/resolv.conf`, target: '/etc/resolv.conf', readOnly: true },
    { source: `${paths.files}/hosts`, target: '/etc/hosts', readOnly: true },
    // An init system sets the name that it reads there.
    { source: `${paths.files}/hostname`, target: '/etc/hostname', readOnly: true },
    { source: `${paths.devices}/fuse`, target: '/dev/fuse', isDevice: true },
    { source: `${paths.devices}/tun`, target: '/dev/net/tun', isDevice: true },
    ...devices.nodes.map(({ path }, index): Mount => ({ source: nodePath(paths, index), target: path })),
    ...devices.mounts.map(
      ({ hostPath, containerPath, options }): Mount => ({
        source: hostPath,
        target: containerPath,
        readOnly: !options.includes('rw'),
        isForeign: true,
        noExec: options.includes('noexec'),
      }),
    ),
  ]
  return runtime.configure({
    hostname: spec.name,
    rootfs: paths.rootfs,
    // -P: reap, and wait for nobody in particular. The environment's processes are all started by exec.
    process: {
      argv: init ?? [INIT_TARGET, '-P'],
      env: mergeEnv(
        // Without HOME the runtime would look for it in the root's /etc/passwd, which may be a pipe that nobody writes to.
        { HOME: '/root' },
        // By its absence systemd would know that it has the machine for itself.
        init === undefined ? [] : ['container=bothy'],
        spec.image.env,
        devices.env,
        spec.env,
        { BOTHY_ENVIRONMENT: spec.name },
      ),
      cwd: '/',
      uid: 0,
      gid: 0,
      additionalGids: devices.additionalGids,
      maxOpenFiles: host.maxOpenFiles,
      keepsCores: host.keepsCores,
    },
    slot,
    cgroupsPath: cgroupPath(host.layout, spec.id),
    mounts,
    memoryBytes: spec.memoryBytes,
    memoryAndSwapBytes: host.memoryAndSwapBytes(spec.memoryBytes),
    pids: spec.pids,
    arch: host.arch,
    compiledFilter: host.filter.base64,
    devices: devices.nodes,
    hooks: devices.hooks,
  })
}

// A job compiles nothing and serves nobody: enough for git to index a large pack.
const JOB_MEMORY_BYTES = 2 * 2 ** 30
const JOB_PIDS = 256

export function jobOciConfig(
  host: Host,
  paths: RuntimePaths,
  id: string,
  slot: Slot,
  job: DiskJob,
  toolMounts: readonly Mount[],
  files: readonly ShownFile[],
): object {
  return sandboxConfig({
    hostname: 'job',
    rootfs: paths.rootfs,
    rootReadOnly: true,
    process: {
      argv: job.argv,
      env: mergeEnv({ HOME: '/tmp' }, job.env),
      cwd: '/',
      uid: 0,
      gid: 0,
      maxOpenFiles: host.maxOpenFiles,
      keepsCores: host.keepsCores,
    },
    slot,
    cgroupsPath: cgroupPath(host.layout, `job-${id}`),
    mounts: [
      ...toolMounts,
      { source: `${paths.shifted}/workspaces`, target: '/workspaces' },
      { source: `${paths.files}/hosts`, target: '/etc/hosts', readOnly: true },
      ...files.map(({ source, target }): Mount => ({ source, target, readOnly: true })),
    ],
    memoryBytes: JOB_MEMORY_BYTES,
    memoryAndSwapBytes: host.memoryAndSwapBytes(JOB_MEMORY_BYTES),
    pids: JOB_PIDS,
    arch: host.arch,
    compiledFilter: host.filter.base64,
    tmp: true,
  })
}
