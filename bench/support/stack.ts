// A real `bothy up` for a bench, with data of its own, and a client of it.
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { loadContext } from '../../src/cli/config/file.ts'
import { type ApiClient, createClient } from '../../src/client/create-client.ts'
import type { UnpackedImage } from '../../src/core/driver.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { ROOT } from '../../src/main/paths.ts'
import { testImage } from '../../test/support/image.ts'

export interface BenchStack {
  readonly client: ApiClient
  readonly image: UnpackedImage
  readonly imageReference: string
  /** A folder on the runner's pool. */
  readonly pool: string
  readonly env: NodeJS.ProcessEnv
  close(): Promise<void>
}

export interface BenchStackOptions {
  /** Called with the data folder before anything starts; its images are then its own, and not those that tests share. */
  readonly ownImages?: (dataDir: string) => Promise<void>
  /** What is to be in `runner.yaml` besides the folder of the images. */
  readonly runner?: Readonly<Record<string, unknown>>
}

export async function startStack({ ownImages, runner }: BenchStackOptions = {}): Promise<BenchStack> {
  const image = await testImage(line => void process.stderr.write(`image: ${line}\n`))
  const dir = await mkdtemp('/var/tmp/bothy-bench-')
  const dataDir = join(dir, 'data')
  const env = { ...process.env, XDG_CONFIG_HOME: join(dir, 'config'), BOTHY_LOG: 'error' }
  await mkdir(dataDir, { recursive: true })
  // dir/sha256-…/rootfs
  const shared = JSON.stringify({ images: { dir: dirname(dirname(image.layers[0] ?? '')) }, ...runner })
  if (ownImages === undefined) await writeFile(join(dataDir, 'runner.yaml'), shared)
  else await ownImages(dataDir)
  const program = [join(ROOT, 'bothy'), 'up', '--data', dataDir, '--listen', '127.0.0.1:0'] as const
  const child = spawn(program[0], program.slice(1), { env, stdio: ['ignore', 'inherit', 'pipe'] })
  let said = ''
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString()
  })
  const deadline = systemClock.now() + 60_000
  while (!/^up /m.test(said)) {
    if (child.exitCode !== null || systemClock.now() > deadline)
      throw new Error(`bothy up does not come up: ${said}`)
    await systemClock.sleep(20)
  }
  const context = await loadContext(join(dir, 'config/bothy/config.yaml'))
  if (context === undefined) throw new Error('bothy up wrote no context')
  const client = createClient({
    server: context.server,
    ca: context.ca ?? '',
    credential: () => context.token,
  })
  const host = join(dataDir, 'host')
  const pool = (await readdir(host)).includes('pool') ? join(host, 'pool') : host
  return {
    client,
    image,
    imageReference: image.reference,
    pool,
    env,
    async close() {
      await client.close()
      const down = spawn(program[0], ['down', '--all', '--data', dataDir], { env, stdio: 'ignore' })
      await new Promise(resolve => down.once('exit', resolve))
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Waits until nothing else has used the processors for a moment, at most `mostMs`: shared machines are noisy. */
export async function quiet(mostMs = 2_000): Promise<void> {
  const busyShare = async (): Promise<number> => {
    const read = async () => {
      const [, ...fields] = ((await readFile('/proc/stat', 'utf8')).split('\n')[0] ?? '').split(/\s+/)
      const numbers = fields.map(Number)
      return {
        total: numbers.reduce((sum, each) => sum + each, 0),
        idle: (numbers[3] ?? 0) + (numbers[4] ?? 0),
      }
    }
    const before = await read()
    await systemClock.sleep(120)
    const after = await read()
    return 1 - (after.idle - before.idle) / Math.max(1, after.total - before.total)
  }
  const deadline = systemClock.now() + mostMs
  while ((await busyShare()) > 0.15 && systemClock.now() < deadline);
}
