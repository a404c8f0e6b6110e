// npm test [-- FILTERS and options of vitest]: installs what the tests need, runs them under Node 24, and ends with
// one line: `N passed, N failed, N skipped`. What cannot run on this machine is skipped, and the reason printed.

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { findNode24, ROOT, toolEnvironment } from './setup/node24.mjs'
import { ensureNpmPackages } from './setup/npm-packages.mjs'
import { say } from './setup/steps.mjs'
import { ensureSystemPackages, explainMissing, RUNTIME } from './setup/system-packages.mjs'
import { ensureTestTools, withUnpacked } from './setup/test-tools.mjs'

/** As nice(1) counts: a tenth of what the others get, when all want the processors. */
const BEHIND = 10

await ensureNpmPackages()
if (process.platform === 'linux') {
  // Only for root itself: with sudo at hand the tests would still run as the ordinary user who called.
  const missing = process.geteuid?.() === 0 ? await ensureSystemPackages(RUNTIME) : []
  if (missing.length > 0) say(explainMissing(missing))
  await ensureTestTools()
}

const given = process.argv.slice(2)
// Most of the first suite is waiting for the host; the other has what is left of the processors meanwhile.
const suites = given.some(option => option.startsWith('--project')) ? [undefined] : ['default', 'beside']
const folder = mkdtempSync(join(tmpdir(), 'bothy-test-'))
const [first, ...others] = suites.map((suite, index) => run(suite, join(folder, `${index}.json`), index > 0))
const ended = [await first]
for (const other of others) {
  const { code, output, summary } = await other
  ended.push({ code, summary })
  // A filter that fits nothing in it is no news.
  if (code !== 0 || summary === undefined || total(summary) > 0) say(output.trimEnd())
}
rmSync(folder, { recursive: true, force: true })

const summaries = ended.map(each => each.summary)
const code = Math.max(...ended.map(each => each.code))
if (summaries.includes(undefined)) {
  say(`vitest ended with ${code} before any test had run`)
  process.exit(code === 0 ? 1 : code)
}
const skipped = summaries.flatMap(summary => summary.skipped)
const count = key => summaries.reduce((sum, summary) => sum + summary[key], 0)
for (const line of describe(skipped)) say(line)
say(`${count('passed')} passed, ${count('failed')} failed, ${skipped.length} skipped`)
const nothing = summaries.every(summary => total(summary) === 0)
if (nothing) say('no test file has such a name')
process.exit(code === 0 && (nothing || count('failed') > 0) ? 1 : code)

function total({ passed, failed, skipped: left }) {
  return passed + failed + left.length
}

/** Runs one suite to its end; `behind` keeps what it prints for later, and lets others go first. */
function run(suite, file, behind) {
  return new Promise(resolve => {
    const args = [
      join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      ...(suite === undefined ? [] : ['--project', suite, '--passWithNoTests']),
      '--reporter=default',
      '--reporter=./test/support/summary-reporter.ts',
      ...given,
    ]
    const tools = toolEnvironment()
    const env = { ...tools, PATH: withUnpacked(tools.PATH), BOTHY_TEST_SUMMARY: file }
    const stdio = behind ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit']
    const child = spawn(findNode24(), args, { cwd: ROOT, env, stdio })
    if (behind && child.pid !== undefined) setPriority(child.pid, BEHIND)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', chunk => {
        output += chunk
      })
    }
    for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
    // Ctrl-C reaches vitest too; it then ends by itself and this process prints what is known.
    process.on('SIGINT', () => undefined)
    const end = code => {
      const summary = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
      resolve({ code, output, summary })
    }
    child.once('error', () => end(127))
    child.once('close', code => end(code ?? 130))
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
