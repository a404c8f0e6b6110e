// npm run bench -- NAME [OPTIONS]: runs bench/NAME.bench.ts. Without a name: lists them.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { findNode24, ROOT, toolEnvironment } from './setup/node24.mjs'
import { ensureNpmPackages } from './setup/npm-packages.mjs'
import { become } from './setup/run.mjs'
import { giveUp, say } from './setup/steps.mjs'
import { ensureSystemPackages, RUNTIME } from './setup/system-packages.mjs'

const SUFFIX = '.bench.ts'
const folder = join(ROOT, 'bench')
const names = existsSync(folder)
  ? readdirSync(folder)
      .filter(file => file.endsWith(SUFFIX))
      .map(file => file.slice(0, -SUFFIX.length))
      .sort()
  : []

const [name, ...options] = process.argv.slice(2)
if (name === undefined) {
  say('npm run bench -- NAME [OPTIONS], where NAME is one of')
  for (const each of names) say(`    ${each.padEnd(14)} ${about(each)}`)
  process.exit(0)
}
if (!names.includes(name)) {
  giveUp(`there is no bench '${name}'`, `the names are: ${names.join(', ') || '(none yet)'}`, 4)
}

await ensureNpmPackages()
await ensureSystemPackages(RUNTIME)
await become([findNode24(), join(folder, `${name}${SUFFIX}`), ...options], {
  cwd: ROOT,
  env: toolEnvironment(),
})

/** The first comment line of a bench says what it measures. */
function about(bench) {
  const first = readFileSync(join(folder, `${bench}${SUFFIX}`), 'utf8').split('\n')[0] ?? ''
  return first.startsWith('//') ? first.slice(2).trim() : ''
}
