// node scripts/with-node24.mjs FILE [ARGUMENTS]: runs a TypeScript file of this checkout under Node 24.
import process from 'node:process'
import { findNode24, ROOT, toolEnvironment } from './setup/node24.mjs'
import { ensureNpmPackages } from './setup/npm-packages.mjs'
import { become } from './setup/run.mjs'

await ensureNpmPackages()
await become([findNode24(), ...process.argv.slice(2)], { cwd: ROOT, env: toolEnvironment() })
