// The sources are TypeScript that Node 24 runs as it is. Where the machine's Node is older, an npm package brings one.
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const BIN = join(ROOT, 'node_modules', '.bin')

/** Path of a Node that runs the sources, or undefined: then the npm packages are not installed. */
export function findNode24() {
  const own = join(BIN, 'node')
  if (existsSync(own)) return own
  return Number(process.versions.node.split('.')[0]) >= 24 ? process.execPath : undefined
}

/** Environment in which `node` and the tools of node_modules are found first. */
export function toolEnvironment() {
  return { ...process.env, PATH: `${BIN}${delimiter}${process.env.PATH ?? ''}` }
}
