// The parts of the driver that need no host.
import { describe, expect, test } from 'vitest'
import { isFault } from '../../lib/fault.ts'
import { mostCounted } from './cgroup-guard.ts'
import { parseCgroupMounts } from './cgroups.ts'
import { mergeEnv } from './exec.ts'
import { checkKernel } from './health.ts'
import { parseExit, stepsText } from './keeper.ts'
import { judgeCgroups } from './kernel-checks.ts'
import { environmentDir, layoutOf, runtimePaths } from './layout.ts'
import { parseResolvers, reachElement, ruleset } from './network.ts'
import { processConfig, sandboxConfig } from './oci-config.ts'
import { seccompProfile } from './seccomp.ts'
import { IDS_PER_SLOT, interfaceName, reservedSlots, SLOT_COUNT, slotOf } from './slots.ts'
import { stageClock } from './stages.ts'
import { findUser } from './user.ts'

interface SeccompProfile {
  readonly defaultErrnoRet: number
  readonly syscalls: readonly {
    readonly names: readonly string[]
    readonly action: string
    readonly errnoRet?: number
    readonly args?: readonly { readonly index: number; readonly op: string; readonly value: number }[]
  }[]
}

const codeOf = (body: () => unknown): string | undefined => {
  try {
    body()
    return undefined
  } catch (error) {
    return isFault(error) ? error.code : 'no fault'
  }
}

describe('slots', () => {
  test('ranges of ids and addresses do not overlap and end where they must', () => {
    const [first, second, last] = [slotOf(0), slotOf(1), slotOf(SLOT_COUNT - 1)]
    expect(second.idBase - first.idBase).toBe(IDS_PER_SLOT)
    expect(last.idBase + IDS_PER_SLOT).toBeLessThanOrEqual(2 ** 32)
    expect([first.hostAddress, first.address]).toEqual(['198.18.0.1', '198.18.0.2'])
    expect([second.hostAddress, second.address]).toEqual(['198.18.0.5', '198.18.0.6'])
    expect(last.address).toBe('198.18.127.254')
  })

  test('names of interfaces fit into the kernel’s 15 characters', () => {
    expect(interfaceName('rabcde', SLOT_COUNT - 1, 'sandbox').length).toBeLessThanOrEqual(15)
    expect(interfaceName('rabcde', 35, 'job')).toBe('btjrabcdez')
  })

  test.each([
    ['', []],
    ['me:100000:65536', []],
    ['me:1879048192:65536', [0]],
    ['me:1879048191:2', [0]],
    ['me:1879310336:262145', [1, 2]],
    ['broken line\nme:x:y\n:::', []],
  ])('ids that %j gives to somebody are not taken', (text, slots) => {
    expect([...reservedSlots(text)]).toEqual(slots)
  })
})

describe('layout', () => {
  test('only UUIDs become paths', () => {
    const layout = layoutOf('tabcde', '/pool')
    expect(codeOf(() => environmentDir(layout, '../../etc'))).toBe('sandbox-id')
    expect(codeOf(() => runtimePaths(layout, ''))).toBe('sandbox-id')
    expect(codeOf(() => layoutOf('../../x', '/pool'))).toBe('short-id')
  })
})

describe('cgroups', () => {
  const line = (target: string, type: string) => `30 24 0:26 / ${target} rw,relatime - ${type} cgroup rw`
  test.each([
    ['v2', [line('/sys/fs/cgroup', 'cgroup2')]],
    ['v1', [line('/sys/fs/cgroup/pids', 'cgroup'), line('/sys/fs/cgroup/cpu', 'cgroup')]],
    ['hybrid', [line('/sys/fs/cgroup/pids', 'cgroup'), line('/sys/fs/cgroup/unified', 'cgroup2')]],
  ])('recognizes %s', (mode, lines) => {
    expect(parseCgroupMounts(lines.join('\n')).mode).toBe(mode)
  })

  test('are counted where most are', () => {
    const text =
      '#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t12\t1\nmemory\t4\t619\t1\nnet_cls\t0\t2\t1\n'
    expect(mostCounted(text)).toBe(619)
    expect(mostCounted('')).toBe(0)
  })
})

describe('network', () => {
  test('the table is this runner’s, denies by default, and admits the resolvers on port 53 only', () => {
    const text = ruleset('rabcde', { resolvers: ['10.0.0.53'], permitted: [] })
    expect(text).toContain('table inet bothy_rabcde {')
    expect(text).toContain('10.0.0.53 . udp . 53, 10.0.0.53 . tcp . 53')
    for (const range of ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', '127.0.0.0/8'])
      expect(text).toContain(range)
    // Resolvers are often private addresses themselves: admitted before the private ranges are dropped.
    expect(text.indexOf('@resolvers goto')).toBeLessThan(text.indexOf('@blocked drop'))
  })

  test('without resolvers the set is empty, and still a set', () => {
    expect(ruleset('rabcde', { resolvers: [], permitted: [] })).toMatch(/set resolvers \{[^}]*\}/)
  })

  test('finds the host’s resolvers', () => {
    const text =
      '# a comment\nnameserver 127.0.0.53\nnameserver 10.1.2.3\nnameserver fe80::1\n  nameserver 9.9.9.9\nsearch x'
    expect(parseResolvers(text)).toEqual(['127.0.0.53', '10.1.2.3', 'fe80::1', '9.9.9.9'])
  })

  test('a job reaches one address and port; IPv6 is refused and says so', () => {
    expect(reachElement('btjx', '192.0.2.7', 443)).toBe('"btjx" . 192.0.2.7 . tcp . 443')
    expect(codeOf(() => reachElement('btjx', '2001:db8::1', 443))).toBe('address-not-ipv4')
  })
})

describe('the keeper’s plan', () => {
  test('is lines of fields', () => {
    expect(
      stepsText([
        ['label', 'a b'],
        ['userns', 7, 262_144],
      ]),
    ).toBe('label\ta b\nuserns\t7\t262144\n')
  })

  test.each(['a\tb', 'a\nb', 'a\0b'])('refuses a field that would be two: %j', field => {
    expect(codeOf(() => stepsText([['label', field]]))).toBe('keeper-plan')
  })

  test('endings are exact', () => {
    expect(parseExit('code', '3')).toEqual({ code: 3 })
    expect(parseExit('signal', '15')).toEqual({ signal: 'SIGTERM' })
    expect(parseExit(undefined, undefined)).toEqual({ code: -1 })
  })

  test('stages follow one another without a gap', () => {
    let now = 10
    const seen: unknown[] = []
    const onStep = stageClock(
      { now: () => now, sleep: async () => undefined },
      { overlay: 'mount', run: 'sandbox' },
      (...stage) => seen.push(stage),
    )
    now = 15
    onStep('disk')
    now = 20
    onStep('overlay')
    now = 30
    onStep('run')
    expect(seen).toEqual([
      ['mount', 10, 20],
      ['sandbox', 20, 30],
    ])
  })
})

describe('users', () => {
  const passwd =
    'root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/bash\nbad:x:270000:1::/:/bin/sh\nodd:x:5:5::relative:'
  const group = 'root:x:0:\ndev:x:1000:\nsudo:x:27:dev\ndocker:x:999:dev,root'

  test('a name brings its group, its further groups and its home', () => {
    expect(findUser(passwd, group, 'dev')).toEqual({
      uid: 1000,
      gid: 1000,
      additionalGids: [27, 999],
      env: ['HOME=/home/dev', 'USER=dev', 'LOGNAME=dev'],
    })
  })

  test('numbers need no entry, and a group can be named', () => {
    expect(findUser(passwd, group, '1234')).toMatchObject({ uid: 1234, gid: 0, additionalGids: [] })
    expect(findUser(passwd, group, '1000:docker')).toMatchObject({ uid: 1000, gid: 999, additionalGids: [] })
    expect(findUser(passwd, group, 'odd').env).toContain('HOME=/')
  })

  test.each(['nobody-such', 'dev:nogroup'])('%s is nobody here', wanted => {
    expect(codeOf(() => findUser(passwd, group, wanted))).toBe('user-unknown')
  })

  test('an id that the sandbox does not have is refused', () => {
    expect(codeOf(() => findUser(passwd, group, 'bad'))).toBe('user-id')
  })
})

describe('the runtime’s configuration', () => {
  const config = sandboxConfig({
    hostname: 'calm-otter',
    rootfs: '/run/x',
    process: { argv: ['/init'], env: [], cwd: '/', uid: 0, gid: 0, maxOpenFiles: 4096 },
    slot: slotOf(3),
    cgroupsPath: '/bothy-x/y',
    mounts: [{ source: '/a', target: '/b', readOnly: true }],
    memoryBytes: 5,
    pids: 6,
    arch: 'x64',
  }) as {
    linux: {
      namespaces: { type: string; path?: string }[]
      uidMappings: object[]
      resources: { devices: object[] }
    }
    mounts: { destination: string; options: string[] }[]
  }

  test('has a namespace of every kind, and joins none', () => {
    expect(config.linux.namespaces).toEqual(
      ['pid', 'ipc', 'uts', 'mount', 'cgroup', 'network', 'user'].map(type => ({ type })),
    )
  })

  test('maps the slot’s ids and nothing else, and starts from no device', () => {
    expect(config.linux.uidMappings).toEqual([
      { containerID: 0, hostID: slotOf(3).idBase, size: IDS_PER_SLOT },
    ])
    expect(config.linux.resources.devices[0]).toEqual({ allow: false, access: 'rwm' })
  })

  test('shows host files read-only', () => {
    expect(config.mounts.find(({ destination }) => destination === '/b')?.options).toEqual([
      'bind',
      'ro',
      'nosuid',
      'nodev',
    ])
  })

  test('allows what it knows, and says that the rest does not exist', () => {
    const { defaultErrnoRet, syscalls } = seccompProfile('x64') as SeccompProfile
    expect(defaultErrnoRet).toBe(38)
    const allowed = syscalls.filter(({ action }) => action === 'SCMP_ACT_ALLOW').flatMap(({ names }) => names)
    for (const name of ['mount', 'unshare', 'ptrace', 'clone3', 'reboot', 'prlimit64'])
      expect(allowed).toContain(name)
    const dangerous =
      'bpf kexec_load open_by_handle_at init_module keyctl io_uring_setup userfaultfd socketcall syslog'
    for (const name of dangerous.split(' ')) expect(allowed).not.toContain(name)
  })

  test('only sockets of the network namespace can be made', () => {
    const { syscalls } = seccompProfile('x64') as SeccompProfile
    const of = (action: string) =>
      syscalls
        .filter(rule => rule.action === action && rule.names.includes('socket'))
        .flatMap(({ args }) => args!)
    // Unix, IPv4, IPv6, netlink, packet. 0 names no family.
    expect(of('SCMP_ACT_ALLOW').map(({ value }) => value)).toEqual([0, 1, 2, 10, 16, 17])
    const isRefused = (family: number) =>
      of('SCMP_ACT_ERRNO').some(({ op, value }) => (op === 'SCMP_CMP_GT' ? family > value : family === value))
    expect(Array.from({ length: 64 }, (_, n) => n).filter(n => !isRefused(n))).toEqual([0, 1, 2, 10, 16, 17])
    // What is said of it must be said before what it stands for.
    expect(syscalls[0]).toMatchObject({ names: ['socketcall'], action: 'SCMP_ACT_ERRNO' })
  })

  test('where core dumps leave the host’s files, their limit stays at what keeps them from it', () => {
    const { syscalls } = seccompProfile('x64', true) as SeccompProfile
    const rules = syscalls.filter(({ names }) =>
      names.some(name => ['setrlimit', 'prlimit64'].includes(name)),
    )
    expect(rules.every(({ args }) => args !== undefined)).toBe(true)
    expect(rules.filter(({ action }) => action === 'SCMP_ACT_ERRNO').map(({ errnoRet }) => errnoRet)).toEqual(
      [0, 0],
    )
    const process = (keepsCores: boolean) =>
      processConfig({ argv: ['x'], env: [], cwd: '/', uid: 0, gid: 0, maxOpenFiles: 9, keepsCores }) as {
        rlimits: { type: string; hard: number }[]
      }
    expect(process(true).rlimits).toContainEqual({ type: 'RLIMIT_CORE', hard: 1, soft: 1 })
    expect(process(false).rlimits.map(({ type }) => type)).toEqual(['RLIMIT_NOFILE'])
  })

  test('later variables win, each once', () => {
    expect(mergeEnv(['A=1', 'B=x=y', 'NONE', '=odd'], { A: '2' }, ['C='])).toEqual(['A=2', 'B=x=y', 'C='])
  })
})

test.each([
  [
    '25 1 0:22 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot',
    true,
    'version 2',
  ],
  ['25 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw', false, 'version 2 without nsdelegate'],
  ['25 1 0:22 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids', true, 'version 1: '],
])('control groups of %s', (mountinfo, ok, found) => {
  expect(judgeCgroups(mountinfo)).toMatchObject({ ok, found: expect.stringContaining(found) })
})

test.each([
  ['5.18.0-1-amd64', false],
  ['5.19.0', true],
  ['6.1.0-40-amd64', true],
  ['4.19', false],
])('kernel %s: %s', (version, ok) => {
  const check = checkKernel(version)
  expect(check).toMatchObject({ ok, required: true, found: version })
  // What the missing of it would cost is said where it is missing.
  if (ok) expect(check.hint).toBeUndefined()
  else expect(check.hint).toMatch(/5\.19 or newer.*copy its image, seconds and its full size/)
})
