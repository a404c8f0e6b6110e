// What processes in a sandbox may ask of the kernel. The user namespace is the wall (what follows needs capabilities over
// the host's own namespaces, which nobody inside has); the filter keeps the kernel's attack surface behind it small. So it
// is a list of what is allowed: a call that a newer kernel brings does not exist inside until somebody has looked at it.
// Allowed, though other runtimes do not: mount, unshare, clone and friends, which docker and podman inside need.
import { ALLOWED } from './syscalls.ts'

const EPERM = 1
const ENOSYS = 38

// Known, wanted by some program, and refused with EPERM: it can say why it goes no further.
const REFUSED = [
  // Loading code into the kernel, or replacing it.
  ...['bpf', 'init_module', 'finit_module', 'delete_module', 'kexec_load', 'kexec_file_load'],
  // Reaching files by handle (escapes bind mounts) and pages by fault handler (lets exploits win races).
  ...['open_by_handle_at', 'userfaultfd', 'perf_event_open', 'lookup_dcookie', 'vmsplice'],
  // Machine-wide state: clock, swap, quotas, accounting, memory of others, ports, kernel log.
  ...[
    'settimeofday',
    'stime',
    'clock_settime',
    'clock_settime64',
    'clock_adjtime',
    'clock_adjtime64',
    'adjtimex',
  ],
  ...['swapon', 'swapoff', 'acct', 'quotactl', 'quotactl_fd', 'move_pages', 'migrate_pages'],
  ...['syslog', 'iopl', 'ioperm', 'vhangup'],
]

// Everything else does not exist (ENOSYS), so that programs take their other way. Of what is known these are keyrings,
// which no namespace divides (docker inside insists on one of its own unless they are missing), and io_uring, which has
// bypassed filters and audit more than once.

const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
}

// Families of sockets beyond the network namespace, or behind kernel modules that nobody in an environment needs: vsock
// (40) reaches the host and its hypervisor past every rule of the firewall, AF_ALG (38) is a way to the kernel's crypto
// code. What stays: unix, IPv4, IPv6, netlink and packet sockets. Numbers from include/linux/socket.h.
// 32-bit x86 programs that still ask through socketcall get none at all, for the filter cannot see what they ask for.
const LAST_FAMILY = 17
const FAMILIES = [0, 1, 2, 10, 16, 17]
const OTHER_FAMILIES = [3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]
const EAFNOSUPPORT = 97

const family = (op: 'SCMP_CMP_EQ' | 'SCMP_CMP_GT', value: number) => ({
  names: ['socket'],
  args: [{ index: 0, value, op }],
})
const refused = (rule: object): object => ({ ...rule, action: 'SCMP_ACT_ERRNO', errnoRet: EAFNOSUPPORT })

// A host may hand core dumps to a program of its own, which is the host's root and reads memory that its victim has
// prepared. The kernel spares only processes whose limit is 1 (core(5)); so theirs is, and setting it does nothing, with
// success, for many a program sets it to 0 and ends when it cannot.
const RLIMIT_CORE = 4
const limit = (index: number, op: string, value: number) => ({ index, op, value })
const SET_LIMITS = ['setrlimit', 'prlimit64']
const KEEP_CORE_LIMIT = [
  ...[
    { names: ['setrlimit'], args: [limit(0, 'SCMP_CMP_NE', RLIMIT_CORE)] },
    { names: ['prlimit64'], args: [limit(1, 'SCMP_CMP_NE', RLIMIT_CORE)] },
    { names: ['prlimit64'], args: [limit(1, 'SCMP_CMP_EQ', RLIMIT_CORE), limit(2, 'SCMP_CMP_EQ', 0)] },
  ].map(rule => ({ ...rule, action: 'SCMP_ACT_ALLOW' })),
  ...[
    { names: ['setrlimit'], args: [limit(0, 'SCMP_CMP_EQ', RLIMIT_CORE)] },
    { names: ['prlimit64'], args: [limit(1, 'SCMP_CMP_EQ', RLIMIT_CORE), limit(2, 'SCMP_CMP_NE', 0)] },
  ].map(rule => ({ ...rule, action: 'SCMP_ACT_ERRNO', errnoRet: 0 })),
]

/** The `linux.seccomp` of an OCI config. `keepsCoreLimit`: see above. */
export function seccompProfile(arch: string, keepsCoreLimit = false): object {
  const allowed = keepsCoreLimit ? ALLOWED.filter(name => !SET_LIMITS.includes(name)) : ALLOWED
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: ARCHITECTURES[arch] ?? [],
    syscalls: [
      // First, for what is said of the calls that it stands for would otherwise be said of it.
      refused({ names: ['socketcall'] }),
      { names: allowed, action: 'SCMP_ACT_ALLOW' },
      { names: REFUSED, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
      ...(keepsCoreLimit ? KEEP_CORE_LIMIT : []),
      ...FAMILIES.map(each => ({ ...family('SCMP_CMP_EQ', each), action: 'SCMP_ACT_ALLOW' })),
      ...OTHER_FAMILIES.map(each => refused(family('SCMP_CMP_EQ', each))),
      refused(family('SCMP_CMP_GT', LAST_FAMILY)),
    ],
  }
}
