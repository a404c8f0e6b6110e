// npm run check: everything about the sources that can be known without running the program. All at once, each with
// its time; what fails prints what it found. Names on the command line restrict it: `npm run check -- lint docs`.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { findNode24, ROOT, toolEnvironment } from './setup/node24.mjs'
import { ensureNpmPackages } from './setup/npm-packages.mjs'
import { duration, elapsed, giveUp, say } from './setup/steps.mjs'

const SOURCES = ['src', 'test', 'bench', 'scripts'].filter(folder => existsSync(join(ROOT, folder)))

const own = name => [findNode24(), join(ROOT, 'scripts', 'check', `${name}.mjs`)]

// name, what it says is in order, argv
const CHECKS = [
  ['types', 'types (tsc)', ['tsc', '-p', '.']],
  [
    'lint',
    'promises, switches, clock, console, environment (oxlint)',
    ['oxlint', '--type-aware', ...SOURCES],
  ],
  [
    'format',
    'format and order of imports (biome); mend with `npm run format`',
    ['biome', 'check', '--colors=off', '--reporter=summary', '.'],
  ],
  ['imports', 'layers, siblings, owners of npm packages (dependency-cruiser)', own('imports')],
  ['unused', 'unused files, exports, packages (knip)', ['knip', '--no-config-hints', '--no-progress']],
  ['house', 'file lengths, shells, clocks', own('house-rules')],
  ['docs', 'ARCHITECTURE.md, decisions, links', own('docs')],
  [
    'reference',
    'docs/reference is fresh; mend with `npm run gen`',
    [findNode24(), 'scripts/gen.ts', '--check'],
  ],
  ['lockfile', 'package-lock.json is complete; mend with --write', own('lockfile')],
]

await ensureNpmPackages()
const wanted = process.argv.slice(2)
const unknown = wanted.filter(name => CHECKS.every(([known]) => known !== name))
if (unknown.length > 0) {
  giveUp(`no such check: ${unknown.join(', ')}`, `there are: ${CHECKS.map(([name]) => name).join(', ')}`, 2)
}
const chosen = CHECKS.filter(([name]) => wanted.length === 0 || wanted.includes(name))

const failed = []
await Promise.all(
  chosen.map(async ([name, about, argv]) => {
    const start = performance.now()
    const { code, output } = await run(argv)
    const took = duration(performance.now() - start)
    say(`${code === 0 ? 'ok    ' : 'FAILED'} ${name.padEnd(10)} ${took.padStart(7)}  ${about}`)
    if (code !== 0) failed.push({ name, output })
  }),
)
for (const { name, output } of failed) say(`\n--- ${name} ---\n${output.trimEnd()}`)
say(`\n${chosen.length - failed.length} of ${chosen.length} checks passed in ${elapsed()}`)
process.exit(failed.length === 0 ? 0 : 1)

function run([program, ...args]) {
  return new Promise(resolve => {
    const child = spawn(program, args, {
      cwd: ROOT,
      env: toolEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    const keep = chunk => {
      output += chunk
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    child.once('error', error => resolve({ code: 127, output: `${program}: ${error.message}` }))
    child.once('close', code => resolve({ code: code ?? 1, output }))
  })
}
