// Programs that only tests need, and whose packages may start a service (a registry, an SSH server) on the machine.
// Where they can be unpacked into a folder of the checkout, that is done, and the machine stays as it was. Where they
// cannot, they are installed only if nothing here would start the service.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { CURRENT_KUBECTL, fetchCurrentKubectl, hasCurrentKubectl } from './kubectl.mjs'
import { ROOT } from './node24.mjs'
import { capture } from './run.mjs'
import { say, step } from './steps.mjs'
import { ensureSystemPackages, findMissing, usesApt } from './system-packages.mjs'

const FOLDER = join(ROOT, '.cache', 'tools')

/** What tests start as real counterparts. */
const UNPACKED = [
  { program: 'docker-registry', package: 'docker-registry', purpose: 'a registry to fetch images from' },
]

/** What tests want in this very version, whatever the machine has: the conformance suite runs with each kubectl. */
const VERSIONS = [
  {
    package: 'kubernetes-client',
    purpose: 'the kubectl of this Debian (1.20 in bookworm)',
    isAvailable: usesApt(),
  },
  { package: CURRENT_KUBECTL, purpose: 'a current kubectl', isAvailable: hasCurrentKubectl },
]

const INSTALLED = [
  { program: 'sshd', package: 'openssh-server', purpose: 'a server to clone from over SSH' },
  { program: 'runsc', package: 'runsc', purpose: 'environments that gVisor isolates' },
  { program: 'mkfs.btrfs', package: 'btrfs-progs', purpose: 'a host whose file system is btrfs' },
]

/** Brings what can be had. Tests skip, with the reason, where the rest is missing. */
export async function ensureTestTools() {
  await ensureUnpacked([
    ...(usesApt() ? findMissing(UNPACKED) : []),
    ...VERSIONS.filter(each => each.isAvailable),
  ])
  await ensureWithoutService(INSTALLED)
}

/** Fetches what is not unpacked yet. */
async function ensureUnpacked(needs) {
  const missing = needs.filter(need => !existsSync(join(FOLDER, need.package)))
  if (missing.length === 0) return
  say(`Tools for tests, to be unpacked into ${FOLDER} (nothing is installed):`)
  for (const need of missing) say(`    ${need.package.padEnd(18)} ${need.purpose}`)
  await step(`fetching ${missing.map(need => need.package).join(', ')}`, async () => {
    mkdirSync(FOLDER, { recursive: true })
    const results = []
    for (const need of missing) {
      results.push(
        need.package === CURRENT_KUBECTL ? await fetchCurrentKubectl(FOLDER) : await unpack(need.package),
      )
    }
    return results.filter(each => each !== undefined).join('; ') || 'done'
  })
}

/**
 * PATH with the unpacked programs at its end: those of the machine win, and a current kubectl before an old one.
 * @param {string} path
 * @returns {string}
 */
export function withUnpacked(path) {
  if (!existsSync(FOLDER)) return path
  const names = readdirSync(FOLDER).sort(
    (a, b) => Number(b === CURRENT_KUBECTL) - Number(a === CURRENT_KUBECTL),
  )
  const folders = names.flatMap(name =>
    ['usr/bin', 'usr/sbin'].map(bin => join(FOLDER, name, bin)).filter(existsSync),
  )
  return [path, ...folders].join(delimiter)
}

/** Undefined when it worked, else why not. Half a package is never taken for a whole one. */
async function unpack(name) {
  const temporary = mkdtempSync(join(FOLDER, '.unpack-'))
  try {
    const fetched = await download(name, temporary)
    const archive = readdirSync(temporary).find(file => file.endsWith('.deb'))
    if (fetched.code !== 0 || archive === undefined) return `${name} could not be fetched`
    const extracted = await capture(['dpkg-deb', '-x', join(temporary, archive), join(temporary, 'root')])
    if (extracted.code !== 0) return `${name} could not be unpacked`
    renameSync(join(temporary, 'root'), join(FOLDER, name))
    return undefined
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** Where the machine's lists of packages are missing or old, with lists of one's own: that needs no root. */
async function download(name, folder) {
  const argv = ['apt-get', '-q', 'download', name]
  const fetched = await capture(argv, { cwd: folder })
  if (fetched.code === 0) return fetched
  const lists = join(folder, 'lists')
  mkdirSync(join(lists, 'partial'), { recursive: true })
  const own = ['-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${join(folder, 'cache')}`]
  await capture(['apt-get', '-q', ...own, 'update'])
  return capture([...argv, ...own], { cwd: folder })
}

/** Debian's way to say that a package's service shall not be started: asked by every maintainer script. */
const POLICY = '/usr/sbin/policy-rc.d'
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']

async function ensureWithoutService(needs) {
  const missing = findMissing(needs)
  if (missing.length === 0 || process.geteuid?.() !== 0 || !usesApt()) return
  if (existsSync('/run/systemd/system')) {
    for (const need of missing) {
      say(
        `${need.package} would start a service here and is not installed; what needs it is skipped (${need.purpose})`,
      )
    }
    return
  }
  const undo = existsSync(POLICY) ? () => undefined : forbidServices()
  try {
    await ensureSystemPackages(missing)
  } finally {
    undo()
  }
}

/** Returns how to allow them again; that also happens when this process is ended in between. */
function forbidServices() {
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  const end = () => process.exit(130)
  const allow = () => rmSync(POLICY, { force: true })
  process.once('exit', allow)
  for (const signal of SIGNALS) process.once(signal, end)
  return () => {
    allow()
    process.removeListener('exit', allow)
    for (const signal of SIGNALS) process.removeListener(signal, end)
  }
}
