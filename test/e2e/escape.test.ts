// The walls of an environment, tried by root inside who means harm: files, kernel, processes and control groups.
// Sockets and networks are in escape-network.test.ts, bombs in escape-resources.test.ts.
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { type Machines, openMachines } from '../support/machine.ts'
import { lacking, titled } from '../support/requirements.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['mmdebstrap'] })

/** Every path that it is given on a line and can open for writing, which changes nothing yet. */
const WRITABLE = `perl -MFcntl -ne 'chomp; print "$_\\n" if sysopen(my $f, $_, O_WRONLY | O_NONBLOCK)'`
// What the kernel lists in /sys/kernel/cgroup/delegate: which processes are in it, how their memory is spared.
const OWN_CGROUP_FILE = /\/(cgroup\.(procs|threads|subtree_control)|tasks|memory\.(oom\.group|reclaim))$/
const lines = (text: string) => text.split('\n').filter(line => line !== '')

/** What it is given of the host, one by one. */
const OWN_FILES = ['/dev/.bothy-init', '/etc/resolv.conf', '/etc/hosts', '/etc/hostname']
const DEVICE = /^\/dev\/(null|zero|full|tty|random|urandom|fuse|net\/tun|console)$/
const ON_DISK = [
  '/workspaces',
  ...['docker', 'containers', 'containerd', 'rancher'].map(name => `/var/lib/${name}`),
]
const WITHOUT_DEVICE = [
  ...['/ overlay', '/dev tmpfs', '/dev/mqueue mqueue', '/dev/pts devpts', '/dev/shm tmpfs'],
  ...['/proc proc', '/sys sysfs'],
]

describe.skipIf(reason !== undefined)(titled('root inside', reason), () => {
  const token = randomBytes(16).toString('hex')
  let machines: Machines
  let secret: string
  // What fails on the way is what should.
  const run = (script: string) => machines.run('evil', `set +e; ${script}\ntrue`)

  beforeAll(async () => {
    machines = await openMachines()
    // Readable for everybody on the host: nothing but walls keeps it.
    secret = join(machines.stack.folder, 'secret')
    await writeFile(secret, `leaked:x:0:0:${token}:/root:/bin/sh\n`, { mode: 0o644 })
    // Not the first: that one has its filter compiled by the runtime, all others as it was then.
    await machines.create('neighbour')
    await machines.create('evil')
  }, 900_000)
  afterAll(() => machines?.close())

  describe('reads no file of the host', () => {
    const rootDevice = () => statSync('/').dev
    test.each<[string, (path: string) => string]>([
      ['by its path', path => `cat ${path}`],
      ['through the roots of processes', path => `cat /proc/*/root${path} /proc/*/task/*/root${path}`],
      ['from working directories upwards', path => `cat /proc/*/cwd/../../../../..${path}`],
      [
        'through open descriptors',
        path => `for fd in /proc/[0-9]*/fd/*; do cat $fd/../../../../..${path} $fd${path}; done </dev/null`,
      ],
      ['by a link in its workspace', path => `ln -sf ${path} /workspaces/l; cat /workspaces/l`],
      [
        'by leaving a chroot',
        path =>
          `mkdir -p /tmp/d; perl -e 'chroot "/tmp/d"; chdir ".." for 1 .. 64; chroot "."; exec "/bin/cat", "${path}"'`,
      ],
      ['by binding it', path => `touch /mnt/f; mount --bind ${path} /mnt/f && cat /mnt/f`],
      [
        'as the lower side of an overlay',
        path =>
          `mkdir -p /mnt/o; mount -t overlay o -o lowerdir=${path.replace(/\/[^/]*$/, '')}:/proc/1/root /mnt/o; cat /mnt/o${path} /mnt/o/secret`,
      ],
      [
        'by a redirection in an overlay',
        path => `mkdir -p /var/lib/docker/e/l /var/lib/docker/e/u/d /var/lib/docker/e/w /mnt/r; cd /var/lib/docker/e
          setfattr -n trusted.overlay.redirect -v /../../../../.. u/d; setfattr -n user.overlay.redirect -v /../../../../.. u/d
          mount -t overlay o -o userxattr,lowerdir=l,upperdir=u,workdir=w /mnt/r || mount -t overlay o -o redirect_dir=on,lowerdir=l,upperdir=u,workdir=w /mnt/r; cat /mnt/r/d${path}`,
      ],
      [
        'after taking its own mounts away',
        path =>
          `unshare -m sh -c 'umount -l /proc; umount -l /workspaces; umount -l /; cat ${path}; cd /; pivot_root . . ; cat ${path}'`,
      ],
      [
        'from the disk itself',
        path => `mknod /tmp/disk b ${rootDevice() >> 8} ${rootDevice() & 255} && grep -a -m1 ${token} /tmp/disk; mkdir -p /mnt/d
          for d in /dev/vda /dev/sda /dev/sda1 /dev/nvme0n1 /dev/loop0 /dev/loop1; do mount -t ext4 $d /mnt/d && cat /mnt/d${path}; done`,
      ],
      [
        'from the memory of the kernel',
        () => 'cat /dev/mem /dev/kmem /proc/kcore /dev/kmsg /proc/kmsg | head -c 64',
      ],
    ])('%s', async (_way, script) => {
      // The marks show that the script came to its end, and tell what it found from what it complained about.
      const said = await run(`echo '['; (${script(secret)}) 2>/dev/null ; echo ']'`)
      expect(said).toBe('[\n]')
    })

    test('and the host follows no link of its own for it', async () => {
      await run(`cp /etc/passwd /etc/passwd.kept; ln -sf ${secret} /etc/passwd`)
      const asked = await machines.stack.bothy(['exec', '--user', 'leaked', 'evil', '--', 'true'])
      expect(asked.code).not.toBe(0)
      expect(asked.stderr).toContain("no user 'leaked'")
      await run('mv /etc/passwd.kept /etc/passwd')
    })
  })

  test('has no mount of the host’s but single files', async () => {
    const found = lines(await run('cat /proc/self/mountinfo')).map(line => {
      const [, , device, , target = '', options = ''] = line.split(' ')
      return { device, target, options, type: line.split(' - ')[1]?.split(' ')[0] }
    })
    const own = found.filter(({ target }) => OWN_FILES.includes(target))
    expect(own.map(({ target }) => target).sort()).toEqual([...OWN_FILES].sort())
    for (const { target, options } of own)
      if (!target.startsWith('/dev/') || target === '/dev/.bothy-init') expect(options).toMatch(/^ro,/)
    // All of one disk, which is the environment's; the rest are file systems without a device.
    const others = found.filter(({ target }) => !OWN_FILES.includes(target) && !DEVICE.test(target))
    const disks = others.filter(({ type }) => type === 'ext4')
    expect(disks.map(({ target }) => target).sort()).toEqual([...ON_DISK].sort())
    expect(new Set(disks.map(({ device }) => device)).size).toBe(1)
    // Below /mnt is what the other tests here have mounted, from inside.
    const rest = others
      .filter(({ type, target }) => type !== 'ext4' && !target.startsWith('/mnt/'))
      .map(({ target, type }) => `${target} ${type}`)
    const cgroup = /^\/sys\/fs\/cgroup(\/\S+)? (cgroup2?|tmpfs)$/
    expect(rest.filter(each => !cgroup.test(each)).sort()).toEqual(WITHOUT_DEVICE)
  })

  describe('of the kernel', () => {
    test('sets what belongs to its own namespaces, and nothing else', async () => {
      const files = `find /proc -path '/proc/[0-9]*' -prune -o -path /proc/self -prune -o -path /proc/thread-self -prune -o -type f -print 2>/dev/null`
      const own =
        /^\/proc\/(sys\/(net|user)\/|sys\/fs\/mqueue\/|sys\/kernel\/((shm|sem|msg|auto_msgmni)\w*|ns_last_pid|pid_max|hostname|domainname)$|pressure\/)/
      const found = lines(await run(`${files} | ${WRITABLE}`))
      expect(found).toContain('/proc/sys/net/ipv4/ip_forward')
      expect(found.filter(file => !own.test(file))).toEqual([])
      const devices = `mount -o remount,rw /sys 2>/dev/null; find /sys -path /sys/fs/cgroup -prune -o -type f -print 2>/dev/null`
      const ownDevice = /^\/sys\/devices\/virtual\/net\//
      expect(lines(await run(`${devices} | ${WRITABLE}`)).filter(file => !ownDevice.test(file))).toEqual([])
    })

    test('sets nothing of the machine, not to what it is already', async () => {
      const names = [
        'core_pattern',
        'modprobe',
        'hotplug',
        'sysrq',
        'panic',
        'randomize_va_space',
        'yama/ptrace_scope',
      ]
      const files = [
        ...names.map(name => `kernel/${name}`),
        'vm/drop_caches',
        'vm/overcommit_memory',
        'fs/protected_symlinks',
        'fs/file-max',
      ]
      const script = `mount -o remount,rw /proc/sys; cd /proc/sys; for f in ${files.join(' ')}; do [ -e $f ] && (cat $f >$f) && echo $f; done; echo b >/proc/sysrq-trigger && echo sysrq; echo end`
      expect(await run(`(${script}) 2>/dev/null`)).toBe('end')
    })

    test('reaches none of the calls that are refused', async () => {
      // Arguments that the calls themselves would answer with EFAULT or EINVAL. EPERM is 1, ENOSYS 38.
      const calls: Record<string, [x64: number, arm64: number, errno: number]> = {
        bpf: [321, 280, 1],
        init_module: [175, 105, 1],
        finit_module: [313, 273, 1],
        delete_module: [176, 106, 1],
        kexec_load: [246, 104, 1],
        open_by_handle_at: [304, 265, 1],
        userfaultfd: [323, 282, 1],
        perf_event_open: [298, 241, 1],
        clock_settime: [227, 112, 1],
        swapon: [167, 224, 1],
        syslog: [103, 116, 1],
        keyctl: [250, 219, 38],
        add_key: [248, 217, 38],
        io_uring_setup: [425, 425, 38],
        unheard_of: [4000, 4000, 38],
      }
      const column = process.arch === 'arm64' ? 1 : 0
      const script = Object.entries(calls)
        .map(
          ([name, numbers]) =>
            `syscall(${numbers[column]}, -1, -1, -1, -1, -1); print "${name} ", $!+0, "\\n"`,
        )
        .join('; ')
      expect(lines(await run(`perl -e '${script}'`))).toEqual(
        Object.entries(calls).map(([name, [, , errno]]) => `${name} ${errno}`),
      )
    })

    test('loads no module', async () => {
      expect(await run('modprobe dummy 2>/dev/null && echo loaded')).toBe('')
    })

    test('mounts only file systems without a device or a view of the machine', async () => {
      const harmless = [
        'tmpfs',
        'ramfs',
        'proc',
        'sysfs',
        'cgroup',
        'cgroup2',
        'cpuset',
        'devpts',
        'mqueue',
        'binfmt_misc',
        'bpf',
        'fuse',
        'overlay',
      ]
      const script = `mkdir -p /mnt/fs; for t in $(sed 's/.*\\t//' /proc/filesystems); do mount -t $t none /mnt/fs 2>/dev/null && { echo $t; umount /mnt/fs; }; done; true`
      const mounted = lines(await run(script))
      expect(mounted).toContain('tmpfs')
      expect(mounted.filter(type => !harmless.includes(type))).toEqual([])
    })

    test('has the devices of every machine, FUSE and tunnels, and makes no others', async () => {
      const script = `for f in /dev/* /dev/net/* /dev/pts/ptmx; do [ -b $f ] && echo "block $f"; [ -c $f ] && stat -L -c %t:%T $f; done | sort -u
        for d in 'b 8 0' 'b 7 0' 'c 1 1' 'c 1 3' 'c 10 237'; do mknod /tmp/node $d 2>/dev/null && echo "made $d"; done; mknod /tmp/pipe p`
      // null, zero, full, random, urandom, tty, ptmx, tun, fuse (in hexadecimal).
      const known = ['1:3', '1:5', '1:7', '1:8', '1:9', '5:0', '5:2', 'a:c8', 'a:e5']
      expect(lines(await run(script)).sort()).toEqual(known)
    })
  })

  describe('of other processes', () => {
    test('sees those of its own environment only', async () => {
      const script = `kill -0 ${process.pid} 2>/dev/null && echo alive; strace -p ${process.pid} -o /dev/null 2>/dev/null && echo traced
        ls -d /proc/[0-9]* | wc -l; nsenter -t ${process.pid} -m true 2>/dev/null && echo entered; cat /proc/[0-9]*/comm | sort -u | tr '\\n' ' '`
      const [count, names] = lines(await run(script))
      expect(Number(count)).toBeLessThan(10)
      expect(names).toMatch(/^(\.bothy-init|cat|catatonit|sh|sort|tr| )*$/)
    })

    test('gets no descriptor of the host, from its first process, from commands, or while they enter', async () => {
      // What runc's leak (CVE-2024-21626) and the like gave: a directory of the host, or the runtime's own program.
      const watch = `perl -e 'my (%seen, $end); $end = time + 4; while (time < $end) { opendir(my $proc, "/proc");
        for my $pid (grep { /^\\d+$/ && $_ != $$ } readdir $proc) { for my $link ("exe", "cwd", map { "fd/$_" } 0 .. 40) {
        my $to = readlink "/proc/$pid/$link"; $seen{$to}++ if defined $to } } } print map { "$_\\n" } sort keys %seen'`
      const watching = run(watch)
      for (let count = 0; count < 6; count++) await machines.run('evil', 'true')
      const own =
        /^(\/|\/dev\/(null|\.bothy-init|pts\/\d+|tty)|\/usr\/bin\/[\w.-]+|\/etc\/[\w.]+|\/usr\/lib\/[\w./-]+|pipe:.*|socket:.*|anon_inode:\[\w+\]|\/proc(\/.*)?)$/
      const found = lines(await watching)
      expect(found).toContain('/dev/null')
      expect(found.filter(target => !own.test(target) || target.includes('crun'))).toEqual([])
    })

    test('reads nothing of the runner in their environments', async () => {
      expect(
        await run(
          "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -cE 'BOTHY_(LOG|ARCH|TEST)|SUDO|TOKEN' || true",
        ),
      ).toBe('0')
    })
  })

  describe('of control groups', () => {
    test('may divide its own, and change none of its limits', async () => {
      const found = lines(await run(`find /sys/fs/cgroup -type f | ${WRITABLE}`))
      expect(found.length).toBeGreaterThan(0)
      expect(found.filter(file => !OWN_CGROUP_FILE.test(file))).toEqual([])
    })

    test('sees no others, however it mounts them', async () => {
      const types = [
        'cgroup -o memory',
        'cgroup -o pids',
        'cgroup -o devices',
        'cgroup -o none,name=mine',
        'cgroup -o net_cls',
        'cgroup2',
        'cpuset',
      ]
      const script = types
        .map(
          type =>
            `mkdir -p /mnt/cg; mount -t ${type.split(' ')[0]} none /mnt/cg ${type.split(' ').slice(1).join(' ')} 2>/dev/null && { ls /mnt/cg; find /mnt/cg -name release_agent -o -name '*bothy*' -o -name keepers; umount /mnt/cg; }`,
        )
        .join('; ')
      expect(
        lines(await run(`{ ${script}; true; } | grep -E 'release_agent|bothy|keepers' || true`)),
      ).toEqual([])
      const { uid } = (await machines.stack.get('Environment', 'neighbour')).metadata
      expect(
        await run(
          `find /sys/fs/cgroup /proc/[0-9]*/cgroup -name '*${uid}*'; grep -c ${uid} /proc/1/cgroup || true`,
        ),
      ).toBe('0')
    })

    test('has the host run no program for it', async () => {
      // Of cgroup v1: what a release agent or a helper would have written.
      const script = `for d in /sys/fs/cgroup/*/; do mkdir $d/x || continue; echo 1 >$d/x/notify_on_release
          for f in $d/release_agent $d/x/release_agent; do [ -e $f ] && echo there; done; rmdir $d/x; done
        echo '|/tmp/agent' >/proc/sys/kernel/core_pattern && echo pattern; echo /tmp/agent >/sys/kernel/uevent_helper && echo helper`
      expect(await run(`(${script}) 2>/dev/null`)).toBe('')
    })
  })
})
