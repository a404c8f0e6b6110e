// npm start [-- GIT_URL|FOLDER] [-- OPTIONS of `bothy up`]: from a clean checkout to a first environment.
//
// Installs what is missing (and names it first), then becomes `bothy up`, which stays in the foreground like the
// server that it is. Plain JavaScript: it runs under Node 20, before Node 24 has been fetched.
import { join } from 'node:path'
import process from 'node:process'
import { ROOT } from './setup/node24.mjs'
import { ensureNpmPackages } from './setup/npm-packages.mjs'
import { become, capture } from './setup/run.mjs'
import { elapsed, giveUp, say } from './setup/steps.mjs'
import { ensureSystemPackages, explainMissing, findRoot, RUNTIME } from './setup/system-packages.mjs'

if (process.platform !== 'linux') {
  giveUp(`environments need Linux, this is ${process.platform}`, 'run it in a Linux virtual machine', 6)
}

await ensureNpmPackages({ production: true })
const missing = await ensureSystemPackages(RUNTIME)
const bothy = [join(ROOT, 'bothy')]
const root = await findRoot()

if (missing.length > 0 || root === undefined) {
  if (missing.length > 0) say(explainMissing(missing))
  if (root === undefined)
    say('Environments need root: run `npm start` as root, or allow sudo without a password.')
  say('What `bothy doctor` finds:')
  const doctor = await capture([...bothy, 'doctor'], { cwd: ROOT })
  say(doctor.output.trimEnd())
  process.exit(doctor.code === 0 ? 1 : doctor.code)
}

say(`==> bothy up (set-up took ${elapsed()})`)
await become([...root, ...bothy, 'up', '--hello', ...process.argv.slice(2)], { cwd: ROOT })
