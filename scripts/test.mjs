// npm test [-- FILTERS and options of vitest]: installs what the tests need, runs them under Node 24, and ends with
// one line: `N passed, N failed, N skipped`. What cannot run on this machine is skipped, and the reason printed.

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { findNode24, ROOT, toolEnvironment } from './setup/node24.mjs'
import { ensureNpmPackages } from './setup/npm-packages.mjs'
import { say } from './setup/steps.mjs'
import { ensureSystemPackages, explainMissing, RUNTIME } from './setup/system-packages.mjs'
import { ensureTestTools, withUnpacked } from './setup/test-tools.mjs'

await ensureNpmPackages()
if (process.platform === 'linux') {
  // Only for root itself: with sudo at hand the tests would still run as the ordinary user who called.
  const missing = process.geteuid?.() === 0 ? await ensureSystemPackages(RUNTIME) : []
  if (missing.length > 0) say(explainMissing(missing))
  await ensureTestTools()
}

const given = process.argv.slice(2)
const project = given.some(option => option.startsWith('--project')) ? [] : ['--project', 'default']
const folder = mkdtempSync(join(tmpdir(), 'bothy-test-'))
const file = join(folder, 'summary.json')

const code = await run([
  findNode24(),
  join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'),
  'run',
  ...project,
  '--reporter=default',
  '--reporter=./test/support/summary-reporter.ts',
  ...given,
])
const summary = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
rmSync(folder, { recursive: true, force: true })

if (summary === undefined) {
  say(`vitest ended with ${code} before any test had run`)
  process.exit(code === 0 ? 1 : code)
}
for (const line of describe(summary.skipped)) say(line)
say(`${summary.passed} passed, ${summary.failed} failed, ${summary.skipped.length} skipped`)
process.exit(code === 0 && summary.failed > 0 ? 1 : code)

function run([program, ...args]) {
  return new Promise(resolve => {
    const tools = toolEnvironment()
    const env = { ...tools, PATH: withUnpacked(tools.PATH), BOTHY_TEST_SUMMARY: file }
    const child = spawn(program, args, { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] })
    for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
    // Ctrl-C reaches vitest too; it then ends by itself and this process prints what is known.
    process.on('SIGINT', () => undefined)
    child.once('error', () => resolve(127))
    child.once('close', ended => resolve(ended ?? 130))
  })
}

/** One line per skipped test, or per file and reason where they are many. */
function describe(skipped) {
  const groups = new Map()
  for (const test of skipped) {
    // A filter on names skips what it does not match: no news.
    if (test.reason === undefined && given.some(option => /^(-t|--testNamePattern)/.test(option))) continue
    const key = `${test.file}: ${test.reason ?? 'no reason given'}`
    groups.set(key, [...(groups.get(key) ?? []), test])
  }
  return [...groups.entries()].flatMap(([key, tests]) =>
    tests.length > 3
      ? [`skipped: ${tests.length} tests of ${key}`]
      : tests.map(test => `skipped: ${test.title.replace(/ \(skipped: .*?\)/g, '')} (${key})`),
  )
}
