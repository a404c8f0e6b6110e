// What this host has and lacks for the linux driver. `bothy doctor` prints it; a runner refuses to start without the
// required parts.
import { access, readFile, statfs } from 'node:fs/promises'
import { release } from 'node:os'
import { delimiter, join } from 'node:path'
import type { DriverHealth, HealthCheck } from '../../core/driver.ts'
import { toFault } from '../../lib/fault.ts'
import { DIRECTORY_COST, type DiskMode, type DiskSetting, decideMode } from './disk-mode.ts'
import { checkCgroups, checkCoreDumps, checkNesting, checkSharedLimits, NESTING } from './kernel-checks.ts'
import { hostResolvers } from './network.ts'
import { findRunsc, type RunscProgram } from './runsc-program.ts'
import { checkSwap } from './swap-check.ts'

/** Programs that the driver, the images and the content need, and the Debian package of each. */
const PROGRAMS: Readonly<Record<string, string>> = {
  crun: 'crun',
  perl: 'perl-base',
  ip: 'iproute2',
  nft: 'nftables',
  mount: 'mount',
  'mkfs.xfs': 'xfsprogs',
  'mkfs.ext4': 'e2fsprogs',
  catatonit: 'catatonit',
  skopeo: 'skopeo',
  umoci: 'umoci',
  mmdebstrap: 'mmdebstrap',
  git: 'git',
}

const MIN_FREE_BYTES = 5 * 2 ** 30

/** `mode`: what was decided for a runner that works already, and is not tried again. */
export async function checkHealth(
  dir: string,
  setting: DiskSetting,
  mode: DiskMode | undefined,
): Promise<DriverHealth> {
  const checks: HealthCheck[] = [
    checkRoot(process.getuid?.() ?? -1),
    checkKernel(release()),
    ...(await Promise.all(Object.entries(PROGRAMS).map(([program, name]) => checkProgram(program, name)))),
    ...(await Promise.all([
      checkDisks(dir, setting, mode),
      checkFile('user namespaces', '/proc/self/ns/user', 'boot a kernel with CONFIG_USER_NS'),
      ...NESTING.map(checkNesting),
      checkCgroups(),
      checkSharedLimits(),
      checkCoreDumps(),
      checkFilesystems(),
      checkUserNamespaceCount(),
      checkSwap(),
      checkRoom(dir),
      checkResolvers(),
      checkGvisor(),
    ])),
  ]
  return { ok: checks.every(check => check.ok || !check.required), checks }
}

function checkRoot(uid: number): HealthCheck {
  const ok = uid === 0
  const check = { name: 'root', ok, required: true, found: ok ? 'yes' : `user id ${uid}` }
  return ok
    ? check
    : { ...check, hint: 'run the runner as root (sudo); server, client and tests of both need no root' }
}

/** Overlays of idmapped layers exist since Linux 5.19. */
export function checkKernel(version: string): HealthCheck {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const ok = major > 5 || (major === 5 && minor >= 19)
  const check = { name: 'kernel', ok, required: true, found: version }
  const hint =
    'Linux 5.19 or newer is needed (Debian 12 and Ubuntu 24.04 have it). Older ones cannot stack layers with shifted ' +
    'owners: each start would copy its image, seconds and its full size instead of milliseconds and nothing'
  return ok ? check : { ...check, hint }
}

async function checkProgram(program: string, packageName: string): Promise<HealthCheck> {
  // The sbin folders are often missing from the PATH of ordinary users.
  const dirs = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  for (const dir of dirs) {
    const path = join(dir, program)
    if (await readable(path)) return { name: program, ok: true, required: true, found: path }
  }
  return {
    name: program,
    ok: false,
    required: true,
    found: 'not found',
    hint: `apt-get install ${packageName}`,
  }
}

async function checkFile(name: string, path: string, hint: string, required = true): Promise<HealthCheck> {
  const ok = await readable(path)
  const check = { name, ok, required, found: ok ? path : `${path} is missing` }
  return ok ? check : { ...check, hint }
}

async function checkDisks(
  dir: string,
  setting: DiskSetting,
  mode: DiskMode | undefined,
): Promise<HealthCheck> {
  if (mode === undefined && process.getuid?.() !== 0)
    return { name: 'disks', ok: true, required: false, found: 'not tried: mounting needs root' }
  try {
    return judgeDisks(mode ?? (await decideMode(dir, setting)), setting)
  } catch (error) {
    const { message, hint } = toFault(error)
    return {
      name: 'disks',
      ok: false,
      required: true,
      found: message,
      ...(hint === undefined ? {} : { hint }),
    }
  }
}

/** Pure part of `checkDisks`. */
export function judgeDisks(mode: DiskMode, setting: DiskSetting): HealthCheck {
  const check = { name: 'disks', ok: mode === 'image', required: false }
  if (mode === 'image') return { ...check, found: 'an image each' }
  const found = `a folder each: ${DIRECTORY_COST}`
  if (setting === 'directory')
    return {
      ...check,
      found,
      hint: 'runner.yaml says so; take `disks: directory` out before the first environment',
    }
  const hint =
    'for images, give the runner loop devices (`modprobe loop`; in a container, its devices and mounts) and an empty ' +
    'data folder: what is made as folders stays so'
  return { ...check, found, hint }
}

async function checkFilesystems(): Promise<HealthCheck> {
  const known = await readFile('/proc/filesystems', 'utf8')
  const lacking = ['overlay', 'ext4', 'xfs'].filter(name => !new RegExp(`\\b${name}$`, 'm').test(known))
  // A module that is not loaded is not listed; mounting loads it, so this is only a warning.
  const ok = lacking.length === 0
  const found = ok ? 'overlay, ext4, xfs' : `${lacking.join(', ')} not loaded`
  const check = { name: 'file systems', ok, required: false, found }
  return ok ? check : { ...check, hint: `modprobe ${lacking.join(' ')}` }
}

async function checkUserNamespaceCount(): Promise<HealthCheck> {
  const text = await readFile('/proc/sys/user/max_user_namespaces', 'utf8').catch(() => '0') // No such limit: not built in.
  const ok = Number(text) > 0
  const check = { name: 'user namespaces allowed', ok, required: true, found: text.trim() }
  return ok ? check : { ...check, hint: 'sysctl user.max_user_namespaces=65536' }
}

async function checkRoom(dir: string): Promise<HealthCheck> {
  let at = dir
  while (!(await readable(at)) && at !== '/') at = join(at, '..')
  const { bavail, bsize } = await statfs(at)
  const free = bavail * bsize
  const ok = free >= MIN_FREE_BYTES
  const check = {
    name: 'room',
    ok,
    required: false,
    found: `${(free / 2 ** 30).toFixed(1)} GiB free at ${dir}`,
  }
  return ok ? check : { ...check, hint: 'give the runner a folder with more room: bothy up --data DIR' }
}

async function checkResolvers(): Promise<HealthCheck> {
  const found = await hostResolvers()
  const ok = found.length > 0
  const check = {
    name: 'DNS',
    ok,
    required: false,
    found: ok ? found.join(', ') : 'no resolver in /etc/resolv.conf',
  }
  return ok
    ? check
    : { ...check, hint: 'name a resolver in /etc/resolv.conf; environments ask it through the runner' }
}

async function readable(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false, // Not there, or not for us: the same to a check.
  )
}

/** What classes with isolation gvisor need. */
async function checkGvisor(): Promise<HealthCheck> {
  return judgeGvisor(await findRunsc())
}

/** Pure part of `checkGvisor`. */
export function judgeGvisor(runsc: RunscProgram | undefined): HealthCheck {
  const check = { name: 'gvisor', required: false }
  if (runsc === undefined) {
    const hint =
      'for classes with isolation gvisor: apt-get install runsc (Debian 12: from bookworm-backports)'
    return { ...check, ok: false, found: 'runsc not found', hint }
  }
  const found = `runsc ${runsc.version}, ${runsc.platform}`
  if (runsc.platform === 'systrap') return { ...check, ok: true, found }
  const hint =
    'this version is from before 2023, and ls and stat of newer distributions fail in it: ' +
    'apt-get install -t bookworm-backports runsc'
  return { ...check, ok: false, found, hint }
}
