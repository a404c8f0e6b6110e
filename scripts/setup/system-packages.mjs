// The few programs that npm cannot bring. They are looked for by name, not by package: any distribution may have them.
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { capture, mustCapture } from './run.mjs'
import { giveUp, say, step } from './steps.mjs'

/** What environments need on a Linux host: program, Debian's package for it, what it is for. */
export const RUNTIME = [
  { program: 'crun', package: 'crun', purpose: 'runs sandboxes' },
  { program: 'skopeo', package: 'skopeo', purpose: 'fetches images from registries' },
  { program: 'umoci', package: 'umoci', purpose: 'unpacks images' },
  { program: 'mmdebstrap', package: 'mmdebstrap', purpose: 'makes an image where no registry is reachable' },
  { program: 'mkfs.xfs', package: 'xfsprogs', purpose: 'pool with reflinks' },
  { program: 'mkfs.ext4', package: 'e2fsprogs', purpose: "environments' disks" },
  { program: 'nft', package: 'nftables', purpose: "environments' network rules" },
  { program: 'ip', package: 'iproute2', purpose: "environments' network interfaces" },
  { program: 'modprobe', package: 'kmod', purpose: 'loads kernel modules that the above need' },
  { program: 'catatonit', package: 'catatonit', purpose: 'first process of a sandbox' },
  { program: 'git', package: 'git', purpose: 'clones repositories' },
  { program: 'ssh', package: 'openssh-client', purpose: 'clones over SSH' },
  { program: 'ps', package: 'procps', purpose: 'looks at processes' },
  { program: 'losetup', package: 'mount', purpose: 'attaches disks' },
  { program: 'unshare', package: 'util-linux', purpose: 'makes namespaces' },
  { program: 'perl', package: 'perl-base', purpose: 'the small processes that outlive the runner' },
  {
    file: '/etc/ssl/certs/ca-certificates.crt',
    package: 'ca-certificates',
    purpose: 'trusts public servers',
  },
]

// Daemons and friends live in the sbin folders, which an ordinary user's PATH often leaves out.
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']

function present(need) {
  const candidates = need.file === undefined ? FOLDERS.map(folder => join(folder, need.program)) : [need.file]
  return candidates.some(path => {
    try {
      accessSync(path, need.file === undefined ? constants.X_OK : constants.R_OK)
      return true
    } catch {
      // Not in this folder.
      return false
    }
  })
}

export function findMissing(needs) {
  return needs.filter(need => !present(need))
}

/** `[]` for root, `['sudo', '-n']` where sudo asks for no password, undefined where there is no way to become root. */
export async function findRoot() {
  if (process.geteuid?.() === 0) return []
  const sudo = await capture(['sudo', '-n', 'true'])
  return sudo.code === 0 ? ['sudo', '-n'] : undefined
}

export function usesApt() {
  try {
    const text = readFileSync('/etc/os-release', 'utf8')
    const like = [...text.matchAll(/^(?:ID|ID_LIKE)=(.*)$/gm)].map(match => match[1]).join(' ')
    return /\b(debian|ubuntu)\b/.test(like) && present({ program: 'apt-get' })
  } catch {
    // No os-release: no distribution that we know how to install on.
    return false
  }
}

/**
 * Installs what is missing of `needs` with apt-get, after having printed the names. Returns what is still missing:
 * everything, where this is no Debian or Ubuntu or nobody may install.
 */
export async function ensureSystemPackages(needs) {
  const missing = findMissing(needs)
  if (missing.length === 0) return []
  const root = await findRoot()
  if (root === undefined || !usesApt()) return missing
  const names = [...new Set(missing.map(need => need.package))]
  say('System packages to install:')
  for (const need of missing) say(`    ${need.package.padEnd(18)} ${need.purpose}`)
  const apt = [
    ...root,
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'apt-get',
    '-q',
    '-o',
    'DPkg::Lock::Timeout=300',
  ]
  await step('apt-get update', () => attempt([...apt, 'update']))
  await step(`apt-get install --no-install-recommends ${names.join(' ')}`, () =>
    attempt([...apt, 'install', '-y', '--no-install-recommends', ...names]),
  )
  return findMissing(needs)
}

async function attempt(argv) {
  try {
    await mustCapture(argv)
  } catch (error) {
    giveUp(error.message, 'install the packages named above by hand, then run this again')
  }
}

/** One line per missing thing, and the command that brings them. */
export function explainMissing(missing) {
  const names = [...new Set(missing.map(need => need.package))]
  const lines = missing.map(need => `    ${(need.program ?? need.file).padEnd(18)} ${need.purpose}`)
  return [
    'Missing on this machine:',
    ...lines,
    'On Debian or Ubuntu, as root:',
    `    apt-get update && apt-get install --no-install-recommends ${names.join(' ')}`,
  ].join('\n')
}
