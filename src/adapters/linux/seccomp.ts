// What processes in a sandbox may not ask of the kernel. The user namespace is the wall (these calls need capabilities
// over the host's own namespaces, which nobody inside has); the filter keeps the kernel's attack surface behind it small.
// Not denied, though other runtimes do: mount, unshare, clone and friends, which docker and podman inside need.
const DENIED = [
  // Loading code into the kernel, replacing it, or stopping it.
  ...[
    'bpf',
    'init_module',
    'finit_module',
    'delete_module',
    'create_module',
    'kexec_load',
    'kexec_file_load',
    'reboot',
  ],
  // Reaching files by handle (escapes bind mounts) and pages by fault handler (lets exploits win races).
  ...['open_by_handle_at', 'userfaultfd', 'perf_event_open', 'lookup_dcookie'],
  // Machine-wide state: clock, swap, quotas, accounting, ports, kernel log.
  ...[
    'settimeofday',
    'clock_settime',
    'clock_adjtime',
    'adjtimex',
    'swapon',
    'swapoff',
    'acct',
    'quotactl',
    'quotactl_fd',
  ],
  ...['syslog', 'iopl', 'ioperm', 'nfsservctl', 'vhangup', 'uselib', 'ustat', '_sysctl', 'sysfs'],
  // Keyrings are not namespaced; io_uring has bypassed filters and audit more than once.
  ...['add_key', 'keyctl', 'request_key', 'io_uring_setup', 'io_uring_enter', 'io_uring_register'],
  // Nothing on amd64 or arm64 needs them.
  ...[
    'get_kernel_syms',
    'query_module',
    'vm86',
    'vm86old',
    'pciconfig_read',
    'pciconfig_write',
    'pciconfig_iobase',
  ],
]

const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
}

// Families of sockets beyond the network namespace, or behind kernel modules that nobody in an environment needs: vsock
// (40) reaches the host and its hypervisor past every rule of the firewall, AF_ALG (38) is a way to the kernel's crypto
// code. What stays: unix, IPv4, IPv6, netlink and packet sockets. Numbers from include/linux/socket.h.
// 32-bit x86 programs that still ask through socketcall get none at all, for the filter cannot see what they ask for.
const LAST_FAMILY = 17
const OTHER_FAMILIES = [3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]
const EAFNOSUPPORT = 97

const refuseFamily = (op: 'SCMP_CMP_EQ' | 'SCMP_CMP_GT', value: number): object => ({
  names: ['socket'],
  action: 'SCMP_ACT_ERRNO',
  errnoRet: EAFNOSUPPORT,
  args: [{ index: 0, value, op }],
})

/** The `linux.seccomp` of an OCI config. Calls answer ENOSYS-like EPERM, as programs expect of a refusal. */
export function seccompProfile(arch: string): object {
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: ARCHITECTURES[arch] ?? [],
    syscalls: [
      { names: DENIED, action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
      refuseFamily('SCMP_CMP_GT', LAST_FAMILY),
      ...OTHER_FAMILIES.map(family => refuseFamily('SCMP_CMP_EQ', family)),
    ],
  }
}
