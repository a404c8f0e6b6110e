// A language server as an editor has it: TypeScript's own, over a project of some hundred files.
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { diskUsage } from '../../../src/adapters/oci-images/growth.ts'
import { ImageFolder } from '../../../src/adapters/oci-images/image-folder.ts'
import type { UnpackedImage } from '../../../src/core/driver.ts'
import { mustRun } from '../../../src/lib/run-process.ts'
import { ROOT } from '../../../src/main/paths.ts'
import { testCacheDir, testImage } from '../../../test/support/image.ts'
import type { Machine } from './contestant.ts'

/** The last one that is written in JavaScript: its memory is what people's machines are full of. */
const PACKAGE = 'typescript@5.9.3'
const SERVER = '/opt/typescript/lib/tsserver.js'
const PROJECT = '/opt/project'
const FILE = 'src/core/controller.ts'
/** What the editor's user hovers over. */
const NAME = 'createController'
const ANSWER_MS = 120_000

/** Made once and found from then on. */
export async function languageServerImage(): Promise<UnpackedImage> {
  const base = await testImage(line => void process.stderr.write(`image: ${line}\n`))
  const text = JSON.stringify({ version: 1, base: base.digest, PACKAGE, node: process.version })
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`
  const folder = new ImageFolder(join(testCacheDir(), 'images'))
  const signal = AbortSignal.timeout(600_000)
  return folder.make(
    digest,
    `bench.test/language-server@${digest}`,
    () => undefined,
    signal,
    async into => {
      const rootfs = join(into, 'rootfs')
      await mustRun(['cp', '-a', base.layers[0] ?? '', rootfs], { signal })
      await mkdir(`${rootfs}/opt/typescript`, { recursive: true })
      await fetchPackage(`${rootfs}/opt/typescript`, signal)
      await cp(process.execPath, `${rootfs}/usr/local/bin/node`)
      await cp(join(ROOT, 'src'), `${rootfs}${PROJECT}/src`, { recursive: true })
      await cp(join(ROOT, 'tsconfig.json'), `${rootfs}${PROJECT}/tsconfig.json`)
      await mustRun(['chown', '-R', 'root:root', `${rootfs}/opt`], { signal })
      const bytes = await diskUsage(rootfs, 'bytes', signal)
      return { config: { env: ['LANG=C.UTF-8'], user: 'root', workingDir: '/' }, bytes }
    },
  )
}

async function fetchPackage(into: string, signal: AbortSignal): Promise<void> {
  const temporary = await mkdtemp('/var/tmp/bothy-bench-package-')
  try {
    await mustRun(['npm', 'pack', PACKAGE, '--silent', '--pack-destination', temporary], { signal })
    const name = `${PACKAGE.replace('@', '-')}.tgz`
    await mustRun(['tar', '-xzf', join(temporary, name), '-C', into, '--strip-components=1'], { signal })
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

export interface LanguageServer {
  /** Milliseconds from the question of an editor that hovers over a name to the answer. */
  ask(): Promise<number>
  leave(): void
}

/** Starts it, opens the project and waits for the first answer: from then on it is warm, and idle. */
export async function startLanguageServer(machine: Machine): Promise<LanguageServer> {
  const script = `stty raw -echo; exec node --max-old-space-size=3072 ${SERVER} --disableAutomaticTypingAcquisition`
  const { input, output } = await machine.open(['/bin/sh', '-c', script])
  let said = ''
  let serial = 0
  const waiting = new Map<number, () => void>()
  output.on('data', (bytes: Buffer) => {
    said += bytes.toString('latin1')
    for (let match = ANSWER.exec(said); match !== null; match = ANSWER.exec(said)) {
      said = said.slice(match.index + match[0].length)
      waiting.get(Number(match[1]))?.()
    }
    // Events, of which there may be many and long ones.
    if (said.length > 2 ** 20) said = said.slice(-4096)
  })
  const before = (await readFile(join(ROOT, FILE), 'utf8')).split(NAME)[0]?.split('\n') ?? []
  const place = { file: `${PROJECT}/${FILE}`, line: before.length, offset: (before.at(-1)?.length ?? 0) + 1 }
  const send = (command: string, args: object): number => {
    serial += 1
    input.write(`${JSON.stringify({ seq: serial, type: 'request', command, arguments: args })}\n`)
    return serial
  }
  const ask = () =>
    new Promise<number>((resolve, reject) => {
      const asked = performance.now()
      const lost = setTimeout(() => reject(new Error('the language server is silent')), ANSWER_MS)
      const seq = send('quickinfo', place)
      waiting.set(seq, () => {
        clearTimeout(lost)
        waiting.delete(seq)
        resolve(performance.now() - asked)
      })
    })
  send('open', { file: place.file })
  await ask()
  return { ask, leave: () => void input.end() }
}

const ANSWER = /"type":"response","command":"quickinfo","request_seq":(\d+),"success":true/
