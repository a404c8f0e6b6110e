// Programs that only tests need, and whose packages would start services (a registry, an SSH server) if they were
// installed. They are fetched with apt and unpacked into a folder of the checkout: the machine stays as it was.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ROOT } from './node24.mjs'
import { capture } from './run.mjs'
import { say, step } from './steps.mjs'
import { findMissing, findRoot, usesApt } from './system-packages.mjs'

const FOLDER = join(ROOT, '.cache', 'tools')

/** What tests start as a real counterpart. */
export const TEST_TOOLS = [
  { program: 'docker-registry', package: 'docker-registry', purpose: 'a registry to fetch images from' },
]

/** Fetches what is neither installed nor unpacked. What cannot be had is left out: tests then skip and say so. */
export async function ensureUnpacked(needs) {
  const missing = findMissing(needs).filter(need => !existsSync(join(FOLDER, need.package)))
  if (missing.length === 0 || !usesApt()) return
  say(`Tools for tests, to be unpacked into ${FOLDER} (nothing is installed):`)
  for (const need of missing) say(`    ${need.package.padEnd(18)} ${need.purpose}`)
  await step(`apt-get download ${missing.map(need => need.package).join(' ')}`, async () => {
    mkdirSync(FOLDER, { recursive: true })
    const results = []
    for (const need of missing) results.push(await unpack(need.package))
    return results.filter(each => each !== undefined).join('; ') || 'done'
  })
}

/** PATH with the unpacked programs at its end: those of the machine win. */
export function withUnpacked(path) {
  if (!existsSync(FOLDER)) return path
  const folders = readdirSync(FOLDER).flatMap(name =>
    ['usr/bin', 'usr/sbin'].map(bin => join(FOLDER, name, bin)).filter(existsSync),
  )
  return [path, ...folders].join(delimiter)
}

/** Undefined when it worked, else why not. Half a package is never taken for a whole one. */
async function unpack(name) {
  const temporary = mkdtempSync(join(FOLDER, '.unpack-'))
  try {
    let fetched = await capture(['apt-get', '-q', 'download', name], { cwd: temporary })
    const root = fetched.code === 0 ? undefined : await findRoot()
    if (root !== undefined) {
      await capture([...root, 'apt-get', '-q', 'update'])
      fetched = await capture(['apt-get', '-q', 'download', name], { cwd: temporary })
    }
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
