// npm packages: installed when node_modules lacks what the lockfile says.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { findNode24, ROOT } from './node24.mjs'
import { mustCapture } from './run.mjs'
import { giveUp, step } from './steps.mjs'

/**
 * Are the packages of the lockfile those that npm recorded when it last installed? Packages for other platforms are
 * never there, and with `production` those for development need not be.
 */
export function installedMatches(lock, installed, { production = false } = {}) {
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (path === '') return true
    const there = installed.packages[path]
    if (there !== undefined) return there.version === wanted.version
    return wanted.optional === true || wanted.devOptional === true || (production && wanted.dev === true)
  })
}

/** Installs what is missing. `production` leaves the tools of development away (half of the time and of the space). */
export async function ensureNpmPackages({ production = false } = {}) {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    giveUp(`Node ${process.versions.node} is too old`, 'install Node 20 or newer; it brings npm along', 6)
  }
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  const record = join(ROOT, 'node_modules', '.package-lock.json')
  const fresh = !existsSync(record)
  if (!fresh && installedMatches(lock, JSON.parse(readFileSync(record, 'utf8')), { production })) return
  // `npm ci` empties node_modules first, from under a server that may be running: only where there is nothing yet.
  const verb = fresh ? ['ci'] : ['install', '--no-save']
  const omit = fresh && production ? ['--omit=dev'] : []
  await step(`npm packages (npm ${[...verb, ...omit].join(' ')})`, async () => {
    try {
      // `error`: under Node 20 npm would warn about each package that wants a newer one, which the project brings itself.
      await mustCapture([...npm(), ...verb, ...omit, '--loglevel=error', '--no-audit', '--no-fund'], {
        cwd: ROOT,
      })
    } catch (error) {
      giveUp(error.message, 'is the npm registry reachable? `npm config get registry` names it')
    }
  })
  if (findNode24() === undefined) {
    giveUp(
      `no Node 24 for ${process.platform}-${process.arch}: the project brings one for linux-x64 and linux-arm64`,
      'install Node 24 or newer and try again',
    )
  }
}

/** How to call npm. */
export function npm() {
  // Under `npm run` npm names itself; that one needs not be on PATH under the name `npm`.
  const own = process.env.npm_execpath
  return own?.endsWith('npm-cli.js') ? [process.execPath, own] : ['npm']
}
