// An environment from an image of 3 GB beside one of 100 MB, both unpacked already: API call to first output.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { keyOf } from '../src/api/resource.ts'
import { openExec } from '../src/client/open-exec.ts'
import { systemClock } from '../src/lib/clock.ts'
import { mustRun } from '../src/lib/run-process.ts'
import { testImage } from '../test/support/image.ts'
import { report } from './support/report.ts'
import { type BenchStack, quiet, startStack } from './support/stack.ts'
import { Samples } from './support/stats.ts'

const ROUNDS = Number(process.argv[2] ?? 15)
const FILES = Number(process.argv[3] ?? 30_000)
const WARM_UP = 2
/** What nobody misses in an image that is to be small. */
const LEFT_OUT = ['./usr/share', './usr/lib/locale', './var/cache', './var/lib/apt', './usr/lib/git-core']
// `FILES` files of a tenth of a megabyte, no two the same, a hundred to a folder. In a process of its own: it takes a while.
const FILL = `my $block = join "", map { chr int rand 256 } 1 .. 98304; for my $n (0 .. $ARGV[1] - 1) {
  my $dir = "$ARGV[0]/opt/" . int($n / 100); $n % 100 or mkdir $dir; open(my $file, ">", "$dir/$n") or die $!; print $file "$n\n", $block }`

const samples = new Samples()
const stack = await startStack({ ownImages })
try {
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    const keep = round >= 0 ? samples : new Samples()
    for (const size of ['small', 'large']) await start(stack, size, `${size}-${round + WARM_UP}`, keep)
    process.stderr.write(`\rround ${round + 1} of ${ROUNDS} `)
  }
} finally {
  await stack.close()
}
report(
  'image-size',
  samples,
  { 'large / small': samples.median('from the large image') / samples.median('from the small image') },
  [{ ratio: 'large / small', most: 1.2 }],
)
process.exit(0)

/** Two OCI layouts among the runner's archives: a small root, and the same below many files. */
async function ownImages(dataDir: string): Promise<void> {
  const archives = join(dataDir, 'archives')
  const draft = await mkdtemp('/var/tmp/bothy-bench-image-')
  try {
    const rootfs = (await testImage()).layers[0] ?? ''
    const exclude = LEFT_OUT.map(path => `--exclude=${path}`)
    await mustRun(['tar', '-C', rootfs, ...exclude, '-cf', join(draft, 'base.tar'), '.'])
    const filler = join(draft, 'filler')
    await mkdir(join(filler, 'opt'), { recursive: true })
    await mustRun(['perl', '-e', FILL, filler, String(FILES)])
    await mustRun(['tar', '-C', filler, '-cf', join(draft, 'filler.tar'), './opt'])
    await rm(filler, { recursive: true })
    for (const [name, ...layers] of [
      ['small', 'base'],
      ['large', 'base', 'filler'],
    ] as const) {
      const blobs = join(archives, name, 'blobs/sha256')
      await mkdir(blobs, { recursive: true })
      const paths = layers.map(layer => join(draft, `${layer}.tar`))
      const megabytes = (await Promise.all(paths.map(path => stat(path)))).reduce(
        (sum, each) => sum + each.size,
        0,
      )
      process.stderr.write(`${name}: ${(megabytes / 1e6).toFixed(0)} MB\n`)
      await layout(join(archives, name), blobs, paths)
    }
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

/** One image, layers as they are; the files move there, except for the first, which both have. */
async function layout(folder: string, blobs: string, layers: readonly string[]): Promise<void> {
  const put = async (text: string) => {
    const digest = createHash('sha256').update(text).digest('hex')
    await writeFile(join(blobs, digest), text)
    return { digest: `sha256:${digest}`, size: Buffer.byteLength(text) }
  }
  const described: { mediaType: string; digest: string; size: number }[] = []
  for (const [index, path] of layers.entries()) {
    const hash = createHash('sha256')
    await pipeline(createReadStream(path), hash)
    const hex = hash.digest('hex')
    const { size } = await stat(path)
    if (index === 0) await mustRun(['cp', '--reflink=auto', path, join(blobs, hex)])
    else await rename(path, join(blobs, hex))
    described.push({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hex}`, size })
  }
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const rootfs = { type: 'layers', diff_ids: described.map(({ digest }) => digest) }
  const config = await put(JSON.stringify({ architecture, os: 'linux', config: {}, rootfs }))
  const manifestType = 'application/vnd.oci.image.manifest.v1+json'
  const configType = 'application/vnd.oci.image.config.v1+json'
  const manifest = await put(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: configType, ...config },
      layers: described,
    }),
  )
  const index = { schemaVersion: 2, manifests: [{ mediaType: manifestType, ...manifest }] }
  await writeFile(join(folder, 'index.json'), JSON.stringify(index))
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
}

async function start({ client }: BenchStack, size: string, name: string, keep: Samples): Promise<void> {
  await quiet()
  const begun = performance.now()
  const environment = await client.store.create({
    kind: 'Environment',
    metadata: { name, namespace: 'default' },
    spec: { desired: 'Running', class: 'small', content: { empty: {} }, image: `oci:${size}`, env: {} },
  })
  const key = keyOf(environment)
  // The first of each unpacks it.
  for (;;) {
    try {
      const stream = await openExec(
        await client.entrance(key, 'exec'),
        { argv: ['/bin/echo', 'here'] },
        AbortSignal.timeout(60_000),
      )
      stream.stdin.end()
      stream.stderr?.resume()
      await new Promise((resolve, reject) => {
        stream.stdout.once('data', resolve)
        stream.exit.catch(reject)
      })
      keep.add(`from the ${size} image`, performance.now() - begun)
      stream.stdout.resume()
      await stream.exit
      break
    } catch (error) {
      if (performance.now() - begun > 600_000) throw error
      await systemClock.sleep(1_000)
    }
  }
  for (const { name: stage, started: from, ended } of (await client.store.find(key))?.status.stages ?? [])
    if (ended !== undefined) keep.add(`  ${size}: stage ${stage}`, Date.parse(ended) - Date.parse(from))
  await client.store.remove(key)
  while ((await client.store.find(key)) !== undefined) await systemClock.sleep(20)
}
