// A virtual machine with another kernel than the host's: Debian's own, with control groups of version 2 alone. Emulated
// in software, so that it runs wherever tests do.
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { readRecipe } from '../../src/adapters/oci-images/bootstrap.ts'
import { DPKG_OPTIONS, sourceLine } from '../../src/adapters/oci-images/recipe.ts'
import { mustRun } from '../../src/lib/run-process.ts'
import { hostSuite, testCacheDir } from './image.ts'
import { startProgram } from './program.ts'
import { ROOT, STACKS } from './stack.ts'
import { TOOLS } from './tools-image.ts'

const PACKAGES = [
  ...['linux-image-cloud-amd64', 'crun', 'catatonit', 'nftables', 'iproute2', 'xfsprogs', 'e2fsprogs'],
  ...TOOLS,
]

// The first process. Its root is read-only and shared by runs; what a run writes is on its own disk, /data.
const INIT = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/data
mount -t proc proc /proc; mount -t sysfs sys /sys; mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp; mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
for module in loop xfs ext4 overlay fuse tun veth bridge br_netfilter nf_tables nft_chain_nat nft_fib_inet nft_masq nft_ct \\
  ip_tables iptable_nat iptable_filter xt_MASQUERADE xt_conntrack xt_addrtype; do modprobe -q $module; done
mount -t ext4 /dev/vdb /data; ip link set lo up
echo 'nameserver 192.0.2.53' >/run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf
mkdir /sys/fs/cgroup/tests; echo $$ >/sys/fs/cgroup/tests/cgroup.procs
/data/node "/data/$(sed -n 's/.*guest=\\([^ ]*\\).*/\\1/p' /proc/cmdline)" 2>&1; echo "GUEST-ENDED $?"
sync; echo o >/proc/sysrq-trigger; sleep 60
`

// The emulated timer may be too late for the kernel's check of it when the host is busy. A machine that panics ends.
const CALM = 'quiet no_timer_check panic=-1'

interface Base {
  readonly disk: string
  readonly kernel: string
  readonly initrd: string
}

export interface VmResult {
  /** What the program and the kernel said. The console loses some of it when both speak. */
  readonly said: string
  /** What the program wrote to its third disk, /dev/vdc, from the first byte on. */
  readonly answer: string
}

const ANSWER_BYTES = 2 ** 20

/** Runs a TypeScript file of this checkout in a machine. */
export async function runInVm(guest: string, ms: number): Promise<VmResult> {
  const base = await makeBase()
  const folder = await mkdtemp(join(STACKS, 'bothy-vm-'))
  try {
    const data = join(folder, 'data.img')
    await makeData(join(folder, 'data'), data)
    const answer = join(folder, 'answer')
    await writeFile(answer, Buffer.alloc(ANSWER_BYTES))
    const drive = (file: string, more: string) => `file=${file},if=virtio,format=raw,${more}`
    const machine = startProgram(
      [
        ...[
          'qemu-system-x86_64',
          '-M',
          'q35,accel=tcg',
          '-cpu',
          'max',
          '-smp',
          '2',
          '-m',
          '3G',
          '-nographic',
        ],
        ...['-no-reboot', '-nic', 'none', '-kernel', base.kernel, '-initrd', base.initrd],
        ...['-drive', drive(base.disk, 'readonly=on'), '-drive', drive(data, 'cache=unsafe')],
        ...['-drive', drive(answer, 'cache=unsafe')],
        ...['-append', `root=/dev/vda ro console=ttyS0 ${CALM} init=/sbin/bothy-tests guest=${guest}`],
      ],
      { patienceMs: ms },
    )
    await machine.until(/GUEST-ENDED \d+/).finally(() => machine.child.kill('SIGKILL'))
    await machine.result
    return { said: machine.said(), answer: (await readFile(answer, 'utf8')).replaceAll('\0', '') }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Three minutes the first time; found from then on. */
async function makeBase(): Promise<Base> {
  const recipe = await readRecipe(await hostSuite())
  const sources = recipe.sources.map(sourceLine)
  const key = createHash('sha256').update(JSON.stringify({ sources, PACKAGES, INIT })).digest('hex')
  const dir = join(testCacheDir(), 'vm', key.slice(0, 16))
  const found = { disk: join(dir, 'disk.img'), kernel: join(dir, 'vmlinuz'), initrd: join(dir, 'initrd.img') }
  if ((await readdir(dir).catch(() => [])).length > 0) return found
  await mkdir(dirname(dir), { recursive: true })
  const draft = await mkdtemp(`${dir}-`)
  const root = join(draft, 'root')
  const options = DPKG_OPTIONS.map(option => `--dpkgopt=${option}`)
  const include = `--include=${PACKAGES.join(',')}`
  await mustRun(
    [
      'mmdebstrap',
      '--quiet',
      '--mode=root',
      '--variant=minbase',
      include,
      ...options,
      recipe.suite,
      root,
      ...sources,
    ],
    { signal: AbortSignal.timeout(900_000), cwd: draft },
  )
  await writeFile(join(root, 'sbin/bothy-tests'), INIT, { mode: 0o755 })
  await mkdir(join(root, 'data'))
  const boot = await readdir(join(root, 'boot'))
  for (const name of ['vmlinuz', 'initrd.img'])
    await cp(join(root, 'boot', boot.find(each => each.startsWith(`${name}-`))!), join(draft, name))
  await makeDisk(root, join(draft, 'disk.img'), 4)
  await rm(root, { recursive: true })
  await rename(draft, dir)
  return found
}

/** This checkout, what it needs of others, and the program that runs it. */
async function makeData(folder: string, disk: string): Promise<void> {
  const into = join(folder, 'bothy')
  for (const name of ['src', 'test', 'package.json'])
    await cp(join(ROOT, name), join(into, name), { recursive: true })
  const names = new Set<string>()
  const add = async (name: string): Promise<void> => {
    if (names.has(name)) return
    names.add(name)
    const file = join(ROOT, 'node_modules', name, 'package.json')
    const { dependencies = {} } = JSON.parse(await readFile(file, 'utf8')) as { dependencies?: object }
    for (const each of Object.keys(dependencies)) await add(each)
  }
  await Promise.all(['pino', 'zod', 'yaml'].map(add))
  for (const name of names)
    await cp(join(ROOT, 'node_modules', name), join(into, 'node_modules', name), { recursive: true })
  await cp(process.execPath, join(folder, 'node'), { dereference: true })
  await makeDisk(folder, disk, 8)
}

async function makeDisk(folder: string, disk: string, gibibytes: number): Promise<void> {
  const file = await open(disk, 'wx')
  await file.truncate(gibibytes * 2 ** 30)
  await file.close()
  await mustRun(['mkfs.ext4', '-q', '-F', '-d', folder, disk], { signal: AbortSignal.timeout(300_000) })
}
