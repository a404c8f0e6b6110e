// package-lock.json in the current directory: names no registry, and has an entry for every optional package. npm leaves
// out those that the registry it asked did not have (mirrors often lack other platforms), and `npm ci` then refuses
// everywhere. `--write` adds the missing entries; npm keeps them, and fills in their hashes where it can.
import { readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { report } from './report.mjs'

const FILE = 'package-lock.json'
const lock = JSON.parse(readFileSync(FILE, 'utf8'))
const problems = []

for (const [path, entry] of Object.entries(lock.packages)) {
  if (entry.resolved !== undefined && entry.link !== true) {
    problems.push(`${path}: names a registry; set omit-lockfile-registry-resolved=true in your .npmrc`)
  }
}

const missing = Object.entries(lock.packages).flatMap(([path, entry]) =>
  Object.entries(entry.optionalDependencies ?? {})
    .filter(([name]) => !resolves(path, name))
    .map(([name, version]) => ({ path, entry, name, version })),
)
if (process.argv.includes('--write')) {
  for (const { entry, name, version } of missing)
    lock.packages[`node_modules/${name}`] = foreign(entry, name, version)
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`)
} else {
  for (const { path, name } of missing) problems.push(`${path}: its optional package ${name} has no entry`)
}
report(problems, `${Object.keys(lock.packages).length} packages`)

/** Node's look-up: beside the package, then in every node_modules above it. */
function resolves(path, name) {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    if (lock.packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`] !== undefined) return true
    if (!at.includes('/node_modules/')) return lock.packages[`node_modules/${name}`] !== undefined
  }
}

/** Names of such packages say which platform they are for; `os` and `cpu` are what keeps npm from installing them. */
function foreign(parent, name, version) {
  const words = name.split('/').at(-1).split('-')
  const os = words.find(word =>
    ['android', 'darwin', 'linux', 'win32', 'freebsd', 'openharmony'].includes(word),
  )
  const cpu = words.find(word => /^(arm64|x64|arm|ppc64|s390x|ia32|riscv64|loong64)$/.test(word))
  if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+\S*$/.test(version)) {
    throw new Error(`${name}@${version}: cannot tell the platform from its name; add its entry by hand`)
  }
  const libc = words.some(word => word.startsWith('musl')) ? { libc: ['musl'] } : {}
  return { version, cpu: [cpu], ...(parent.dev ? { dev: true } : {}), ...libc, optional: true, os: [os] }
}
