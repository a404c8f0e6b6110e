// The OCI runtime configuration of a sandbox or of a job, as a pure function of what it shall be.

import { FILTER_ANNOTATION } from './compiled-filter.ts'
import { seccompProfile } from './seccomp.ts'
import { IDS_PER_SLOT, type Slot } from './slots.ts'

// Root inside owns its user namespace and needs its powers there (mount, iptables, docker); none of them reach outside.
// CAP_SYS_RESOURCE and friends do nothing over a namespace that did not make the resource.
const CAPABILITIES = (
  'AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER ' +
  'FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE ' +
  'SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM'
)
  .split(' ')
  .map(name => `CAP_${name}`)

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export interface ProcessConfig {
  readonly argv: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly uid: number
  readonly gid: number
  readonly additionalGids?: readonly number[]
  readonly tty?: { readonly columns: number; readonly rows: number }
  /** Ceiling of open files; not above the runner's own, which the kernel would refuse. */
  readonly maxOpenFiles: number
  /** The host hands core dumps to a program of its own; none of this process shall get there. */
  readonly keepsCores?: boolean
}

/** The `process` of a config, also what `crun exec --process` takes. */
export function processConfig(config: ProcessConfig): object {
  const env = config.env.some(each => each.startsWith('PATH=')) ? config.env : [PATH, ...config.env]
  return {
    terminal: config.tty !== undefined,
    ...(config.tty === undefined
      ? {}
      : { consoleSize: { height: config.tty.rows, width: config.tty.columns } }),
    user: { uid: config.uid, gid: config.gid, additionalGids: config.additionalGids ?? [], umask: 0o022 },
    args: config.argv,
    env,
    cwd: config.cwd,
    capabilities: {
      bounding: CAPABILITIES,
      effective: config.uid === 0 ? CAPABILITIES : [],
      permitted: config.uid === 0 ? CAPABILITIES : [],
      inheritable: [],
      ambient: [],
    },
    noNewPrivileges: false,
    rlimits: [
      { type: 'RLIMIT_NOFILE', hard: config.maxOpenFiles, soft: Math.min(1024, config.maxOpenFiles) },
      // Dumps that go to a file lie inside, where the process had its root.
      ...(config.keepsCores === true ? [{ type: 'RLIMIT_CORE', hard: 1, soft: 1 }] : []),
    ],
  }
}

export interface Mount {
  readonly source: string
  readonly target: string
  readonly readOnly?: boolean
  /** The host's own, and not one of its devices: nothing there runs as its owner. */
  readonly isForeign?: boolean
  readonly noExec?: boolean
  /** A device node. */
  readonly isDevice?: boolean
}

export interface SandboxConfig {
  readonly hostname: string
  readonly rootfs: string
  readonly rootReadOnly?: boolean
  readonly process: ProcessConfig
  readonly slot: Slot
  readonly cgroupsPath: string
  readonly mounts: readonly Mount[]
  readonly memoryBytes: number
  /** Of memory and swap together, as the runtime's configuration has it. Absent: this kernel does not count swap. */
  readonly memoryAndSwapBytes?: number | undefined
  readonly pids: number
  readonly arch: string
  /** A tmpfs at /tmp, for roots that are read-only. */
  readonly tmp?: boolean
  /** The filter compiled, in base64; other runtimes than crun, and crun without it, compile it themselves. */
  readonly compiledFilter?: string | undefined
  /** Devices that it may use besides those of all. */
  readonly devices?: readonly { readonly major: number; readonly minor: number; readonly access: string }[]
  /** Run in its namespaces before its own root is its root. */
  readonly hooks?: readonly Hook[]
}

export interface Hook {
  readonly path: string
  readonly args?: readonly string[] | undefined
  readonly env?: readonly string[] | undefined
  readonly timeout?: number | undefined
}

export function sandboxConfig(config: SandboxConfig): object {
  const ids = [{ containerID: 0, hostID: config.slot.idBase, size: IDS_PER_SLOT }]
  return {
    ociVersion: '1.0.2',
    process: processConfig(config.process),
    root: { path: config.rootfs, readonly: config.rootReadOnly ?? false },
    hostname: config.hostname,
    ...(config.compiledFilter === undefined
      ? {}
      : { annotations: { [FILTER_ANNOTATION]: config.compiledFilter } }),
    mounts: [...SYSTEM_MOUNTS, ...(config.tmp === true ? [TMP] : []), ...config.mounts.map(bindMount)],
    ...(config.hooks === undefined || config.hooks.length === 0
      ? {}
      : { hooks: { createContainer: config.hooks.map(hookOf) } }),
    linux: {
      // The network namespace is made by the runtime together with the user namespace: root inside would otherwise
      // have no power over it. The link is put in afterwards.
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'cgroup', 'network', 'user'].map(type => ({ type })),
      uidMappings: ids,
      gidMappings: ids,
      cgroupsPath: config.cgroupsPath,
      // Rootless podman and the kubelet want mounts below to be seen in the namespaces they make; none are seen outside.
      rootfsPropagation: 'rshared',
      sysctl: SYSCTLS,
      resources: {
        devices: [
          { allow: false, access: 'rwm' },
          ...ALLOWED_DEVICES,
          ...(config.devices ?? []).map(allowed),
        ],
        memory: {
          limit: config.memoryBytes,
          ...(config.memoryAndSwapBytes === undefined ? {} : { swap: config.memoryAndSwapBytes }),
        },
        pids: { limit: config.pids },
      },
      seccomp: seccompProfile(config.arch, config.process.keepsCores),
      // Nothing in /proc is masked: root inside could undo it, the kernel refuses what matters to a user namespace
      // that is not the first one, and masks break nested containers.
    },
  }
}

const hookOf = ({ path, args, env, timeout }: Hook): object => ({
  path,
  ...(args === undefined ? {} : { args }),
  ...(env === undefined ? {} : { env }),
  ...(timeout === undefined ? {} : { timeout }),
})

const allowed = ({ major, minor, access }: { major: number; minor: number; access: string }): object => ({
  allow: true,
  type: 'c',
  ...{ major, minor, access },
})

const bindMount = ({ source, target, readOnly, isForeign, noExec }: Mount): object => ({
  destination: target,
  type: 'bind',
  source,
  options: [
    'bind',
    ...(readOnly === true ? ['ro', 'nosuid'] : ['rw']),
    'nodev',
    ...(isForeign === true ? ['nosuid', 'rprivate'] : []),
    ...(noExec === true ? ['noexec'] : []),
  ],
})

// Of the sandbox's own network: everybody may send pings without a set-uid program, and listen on port 80.
const SYSCTLS = {
  'net.ipv4.ping_group_range': `0 ${IDS_PER_SLOT - 1}`,
  'net.ipv4.ip_unprivileged_port_start': '0',
}

// 10:229 is /dev/fuse, 10:200 /dev/net/tun: both work per user and network namespace.
const ALLOWED_DEVICES = [
  { allow: true, type: 'c', major: 10, minor: 229, access: 'rwm' },
  { allow: true, type: 'c', major: 10, minor: 200, access: 'rwm' },
]

const mount = (destination: string, type: string, options: string[], source = type): object => ({
  destination,
  type,
  source,
  options,
})

const SYSTEM_MOUNTS = [
  mount('/proc', 'proc', ['nosuid', 'noexec', 'nodev']),
  mount('/dev', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
  mount('/dev/pts', 'devpts', ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5']),
  mount('/dev/shm', 'tmpfs', ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=1g'], 'shm'),
  mount('/dev/mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']),
  mount('/sys', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']),
  mount('/sys/fs/cgroup', 'cgroup', ['nosuid', 'noexec', 'nodev', 'relatime', 'rw']),
]

const TMP = mount('/tmp', 'tmpfs', ['nosuid', 'nodev', 'mode=1777', 'size=512m'])
