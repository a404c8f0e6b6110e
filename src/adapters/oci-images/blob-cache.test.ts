import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ImageBench, openImageBench, whyNoImages } from '../../../test/support/image-bench.ts'
import { titled } from '../../../test/support/requirements.ts'
import { createManualClock } from '../../lib/manual-clock.ts'
import { BlobCache } from './blob-cache.ts'

const HOUR = 60 * 60_000
const digestOf = (letter: string) => `sha256:${letter.repeat(64)}`

describe('layers that were fetched', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'bothy-blobs-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  const open = (maxBytes: number) => {
    const clock = createManualClock(1_000 * HOUR)
    const cache = new BlobCache({ dir, maxBytes, clock })
    return {
      clock,
      cache,
      async keep(...letters: string[]) {
        const folder = await mkdtemp(join(dir, 'layout-'))
        for (const letter of letters) await writeFile(join(folder, letter.repeat(64)), letter.repeat(100))
        await cache.keep(folder, letters.map(digestOf))
      },
    }
  }
  const kept = async () =>
    (await readdir(join(dir, 'blobs')).catch(() => []))
      .map(name => name.slice(-1))
      .toSorted()
      .join('')

  test('the longest unused go beyond the bound, and after their time; asking for one again counts', async () => {
    const { clock, cache, keep } = open(250)
    await keep('a')
    await clock.advance(HOUR)
    await keep('b')
    await clock.advance(HOUR)
    await keep('a')
    await clock.advance(HOUR)
    await keep('c')
    expect(await kept()).toBe('ac')
    expect(await cache.trim(90 * 60_000)).toBe(0)
    expect(await cache.trim(30 * 60_000)).toBe(100)
    expect(await kept()).toBe('c')
    expect(await cache.trim(-1)).toBe(100)
  })

  test('a bound of nought keeps nothing', async () => {
    const { keep } = open(0)
    await keep('a')
    expect(await kept()).toBe('')
  })

  test('what is lent stays with the borrower, and what is forgotten is not lent', async () => {
    const { cache, keep } = open(1_000)
    await keep('a', 'b')
    const folder = join(dir, 'borrower', 'sha256')
    await cache.lend(folder)
    await cache.forget([digestOf('a'), digestOf('c')])
    expect(await readFile(join(folder, 'a'.repeat(64)), 'utf8')).toBe('a'.repeat(100))
    const later = join(dir, 'later', 'sha256')
    await cache.lend(later)
    expect(await readdir(later)).toEqual(['b'.repeat(64)])
    expect((await stat(join(dir, 'blobs'))).mode & 0o777).toBe(0o700)
  })
})

const why = whyNoImages()

describe.skipIf(why)(titled('image store, with layers that it has fetched before', why), () => {
  let bench: ImageBench
  beforeAll(async () => {
    bench = await openImageBench()
  })
  afterAll(() => bench?.close())

  const base = [{ name: 'base', content: 'the same for all' }]
  const asked = (name: string) =>
    bench.registry.asked().filter(line => line.startsWith(`GET /v2/${name}/blobs/`)).length
  const push = (name: string, compression: 'gzip' | 'zstd' = 'gzip') =>
    bench.push(`${name}:1`, { layers: [base, [{ name: 'own', content: name }]], compression })

  test.each(['gzip', 'zstd'] as const)('only what is new is fetched (%s)', async compression => {
    const { ensure, dir } = bench.open()
    const [one, two] = [
      await push(`team/one-${compression}`, compression),
      await push(`team/two-${compression}`, compression),
    ]
    for (const { reference } of [one, two]) {
      const { layers } = await ensure(reference)
      expect(await readdir(layers[0]!)).toEqual(['base', 'own'])
    }
    // Configuration and layers; then the configuration and one layer.
    expect([asked(`team/one-${compression}`), asked(`team/two-${compression}`)]).toEqual([3, 2])
    expect(await readdir(join(dir, 'blobs'))).toHaveLength(3)
  })

  test('an image that says to expand to one that is kept changes it for nobody', async () => {
    const { ensure, dir } = bench.open()
    const { reference } = await push('team/victim')
    await ensure(reference)
    const blobs = join(dir, 'blobs')
    const names = await readdir(blobs)
    for (const compression of ['zstd', 'gzip'] as const) {
      const { reference: hostile } = await bench.push(`team/poison-${compression}:1`, {
        layers: names.map((_, at) => [{ name: 'base', content: `poison ${at}` }]),
        compression,
        rawConfig: {
          architecture: process.arch === 'x64' ? 'amd64' : process.arch,
          os: 'linux',
          rootfs: { type: 'layers', diff_ids: names.map(name => name.replace('-', ':')) },
        },
      })
      await expect(ensure(hostile)).rejects.toMatchObject({ reason: 'invalid' })
    }
    expect(await readdir(blobs)).toEqual(names)
    for (const name of names)
      expect(
        createHash('sha256')
          .update(await readFile(join(blobs, name)))
          .digest('hex'),
      ).toBe(name.slice(7))
  })

  test.each(['gzip', 'zstd'] as const)(
    'one that a power cut has cut short is fetched again (%s)',
    async how => {
      const { ensure, dir } = bench.open()
      const [one, two] = [await push(`team/${how}-cut-one`, how), await push(`team/${how}-cut-two`, how)]
      await ensure(one.reference)
      for (const name of await readdir(join(dir, 'blobs'))) await truncate(join(dir, 'blobs', name), 10)
      const { layers } = await ensure(two.reference)
      expect(await readFile(join(layers[0]!, 'base'), 'utf8')).toBe('the same for all')
      expect(asked(`team/${how}-cut-two`)).toBeGreaterThanOrEqual(3)
      // And what is kept from now on is whole.
      const three = await push(`team/${how}-cut-three`, how)
      await ensure(three.reference)
      expect(asked(`team/${how}-cut-three`)).toBe(2)
    },
  )
})
