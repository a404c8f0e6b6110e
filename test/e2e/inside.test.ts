// A machine of one's own: what root inside can do without any power over the host.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { type Machines, openMachines } from '../support/machine.ts'
import { lacking, titled } from '../support/requirements.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['mmdebstrap'] })
const kernelHas = (file: string, pattern: RegExp) => pattern.test(readFileSync(file, 'utf8'))
const noFuse = kernelHas('/proc/filesystems', /\bfuse$/m) ? undefined : 'this kernel has no FUSE'
const noTun = kernelHas('/proc/misc', /\btun$/m) ? undefined : 'this kernel has no tun devices'

describe.skipIf(reason !== undefined)(titled('a machine of one’s own', reason), () => {
  let machines: Machines
  const run = (script: string, user?: string) => machines.run('box', script, user)

  beforeAll(async () => {
    machines = await openMachines()
    await machines.create('box')
    await run(
      "useradd -m -s /bin/bash ada; echo 'ada ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ada; useradd -m grace",
    )
  }, 900_000)
  afterAll(() => machines?.close())

  test('packages can be installed and removed', async () => {
    // One that was downloaded before, so that the test needs no mirror: dpkg is what needs to be root.
    const script = `cd /tmp; mkdir -p p/DEBIAN p/usr/bin; printf '#!/bin/sh\\necho hello' >p/usr/bin/hi; chmod 755 p/usr/bin/hi
      printf 'Package: hi\\nVersion: 1\\nArchitecture: all\\nMaintainer: me <me@example.com>\\nDescription: hi\\n' >p/DEBIAN/control
      dpkg-deb -b p hi.deb >/dev/null; apt-get install -y ./hi.deb >/dev/null 2>&1; hi; apt-get remove -y hi >/dev/null 2>&1; [ -e /usr/bin/hi ] || echo gone`
    expect(await run(script)).toBe('hello\ngone')
  })

  test('users become root by sudo, and are themselves again', async () => {
    expect(
      await run('id -un; sudo id -un; sudo -u grace id -un; sudo sh -c "echo 1 >/etc/by-root"', 'ada'),
    ).toBe('ada\nroot\ngrace')
  })

  test('files have the owners they are given, ids of rootless containers included', async () => {
    const script = `cd /workspaces; for id in 0 1000 65534 100000 165536; do touch f$id; chown $id:$id f$id; done; stat -c %u f*`
    expect(await run(script)).toBe('0\n1000\n100000\n165536\n65534')
  })

  test.skipIf(noFuse !== undefined)(titled('file systems can be mounted through FUSE', noFuse), async () => {
    const script = `cd /tmp; mkdir -p tree/d image lower upper work merged; echo squash >tree/d/f; echo low >lower/f
      mksquashfs tree tree.sqfs -quiet -noappend >/dev/null; squashfuse tree.sqfs image; cat image/d/f; umount image
      fuse-overlayfs -o lowerdir=lower,upperdir=upper,workdir=work merged 2>/dev/null; echo up >merged/g; cat merged/f upper/g; umount merged`
    expect(await run(script)).toBe('squash\nlow\nup')
    expect(
      await run(
        'cd; mkdir -p t m; echo user >t/f; mksquashfs t t.sqfs -quiet -noappend >/dev/null; squashfuse t.sqfs m; cat m/f; fusermount -u m',
        'ada',
      ),
    ).toBe('user')
  })

  test('tmpfs, bind mounts and overlays can be mounted', async () => {
    const overlay = (on: string) =>
      `mkdir -p ${on}/l ${on}/u ${on}/w ${on}/m; echo low >${on}/l/f; mount -t overlay o -o lowerdir=${on}/l,upperdir=${on}/u,workdir=${on}/w ${on}/m; echo up >${on}/m/f; cat ${on}/u/f; umount ${on}/m`
    const script = `mkdir -p /mnt/t /mnt/b; mount -t tmpfs t /mnt/t; mount --bind /mnt/t /mnt/b; echo bound >/mnt/t/f; cat /mnt/b/f
      ${overlay('/mnt/t/o')}; ${overlay('/var/lib/docker/o')}; ${overlay('/workspaces/o')}; umount /mnt/b /mnt/t; rm -r /var/lib/docker/o`
    expect(await run(script)).toBe('bound\nup\nup\nup')
  })

  test('new namespaces of every kind can be made, by root and by others', async () => {
    const own = 'unshare -Urpfm --mount-proc sh -c "echo \\$\\$; id -u; ls /proc | grep -c ^[0-9]"'
    expect(await run(own)).toMatch(/^1\n0\n\d$/)
    expect(await run(own, 'ada')).toMatch(/^1\n0\n\d$/)
    const bwrap = 'bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all echo wrapped'
    expect(await run(bwrap, 'ada')).toBe('wrapped')
  })

  test.skipIf(noTun !== undefined)(titled('tunnels can be made', noTun), async () => {
    const script = `ip tuntap add dev tun7 mode tun; ip addr add 10.99.0.1/24 dev tun7; ip link set tun7 up; ip route get 10.99.0.7 | grep -o 'dev tun7'; ip link del tun7`
    expect(await run(script)).toBe('dev tun7')
  })

  test('bridges, links and firewalls can be made in the own network', async () => {
    const script = `ip link add br7 type bridge; ip link add v7 type veth peer name w7; ip link set v7 master br7; ip -br link show master br7 | cut -d@ -f1
      iptables -t nat -A POSTROUTING -s 10.7.0.0/24 -j MASQUERADE; iptables -t nat -S | grep -o 'POSTROUTING -s 10.7.0.0/24'
      iptables-legacy -t filter -L INPUT >/dev/null && echo legacy; nft add table inet mine; nft list tables | grep mine
      ip link del br7; ip link del v7; nft flush ruleset`
    expect(await run(script)).toBe('v7\nPOSTROUTING -s 10.7.0.0/24\nlegacy\ntable inet mine')
  })

  test('everybody may ping, with and without a privileged program', async () => {
    const script = `ping -c1 -W2 127.0.0.1 | grep -o '1 received'; cp /bin/ping ~/own; ~/own -c1 -W2 127.0.0.1 | grep -o '1 received'`
    expect(await run(script)).toBe('1 received\n1 received')
    expect(await run(script, 'ada')).toBe('1 received\n1 received')
  })

  test('everybody may listen on port 80', async () => {
    const script = `(echo served | timeout 10 nc -lN 80 >/dev/null) & for i in $(seq 50); do nc -N 127.0.0.1 80 </dev/null && break; sleep 0.1; done`
    expect(await run(script, 'ada')).toBe('served')
  })

  test('programs can be traced and debugged', async () => {
    expect(await run('strace -f -e trace=execve true 2>&1 | grep -c "execve(.*/true"')).toBe('1')
    const attach = `sleep 60 & gdb -p $! -batch -ex 'print 6*7' 2>/dev/null | grep -o '= 42'; kill $!`
    expect(await run(attach, 'ada')).toBe('= 42')
  })

  test('the own limits show in its control groups, and can be divided', async () => {
    const script = `cg=/sys/fs/cgroup; [ -e $cg/memory ] && f=memory/own/memory.limit_in_bytes m=$cg/memory p=$cg/pids || { f=own/memory.max; m=$cg; p=$cg; }
      cat $m/memory.limit_in_bytes 2>/dev/null || cat $m/memory.max; cat $p/pids.max
      mkdir -p $m/own; echo 64M >$cg/$f; cat $cg/$f; rmdir $m/own`
    expect(await run(script)).toBe(`${2 ** 30}\n1024\n${64 * 2 ** 20}`)
  })

  test('core dumps are files inside', async () => {
    // Of a host that hands them to a program of its own there are none.
    const isFile = /^[^|@/]/.test(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'))
    const script = `cd /tmp; ulimit -c unlimited; sh -c 'kill -SEGV $$' 2>/dev/null || true; ls | grep -c ^core || true`
    expect(await run(script)).toBe(isFile ? '1' : '0')
  })
})
