import { mkdir, mkdtemp, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  faultOf,
  hello,
  type ImageBench,
  openImageBench,
  whyNoImages,
} from '../../../test/support/image-bench.ts'
import { startRegistry } from '../../../test/support/registry.ts'
import { titled } from '../../../test/support/requirements.ts'
import { parseImageReference } from '../../api/image-reference.ts'

const why = whyNoImages()

describe.skipIf(why)(titled('image store', why), () => {
  let bench: ImageBench
  beforeAll(async () => {
    bench = await openImageBench()
  })
  afterAll(() => bench?.close())

  test('an image from a registry becomes a directory that is closed to the users of the host', async () => {
    const { reference, digest } = await bench.push('team/hello:1')
    const { dir, ensure } = bench.open()
    const said: string[] = []
    const image = await ensure(reference, message => said.push(message))
    const rootfs = join(dir, digest.replace(':', '-'), 'rootfs')
    expect(image).toEqual({
      reference,
      digest,
      layers: [rootfs],
      env: ['A=b', 'PATH=/bin'],
      user: '1000:1000',
      workingDir: '/srv',
    })
    expect(await readFile(join(rootfs, 'hello'), 'utf8')).toBe('hello')
    expect((await stat(dir)).mode & 0o777).toBe(0o755)
    expect((await stat(join(rootfs, '..'))).mode & 0o777).toBe(0o700)
    expect(await readdir(join(rootfs, '..'))).toEqual(['bytes', 'config.json', 'rootfs'])
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    expect(said).toContain(`fetching ${reference}`)
  })

  test('a Docker image and one compressed with zstd are understood', async () => {
    const docker = await bench.push('team/docker:1', hello, ['--format', 'v2s2'])
    const zstd = await bench.layout({ ...hello, compression: 'zstd' })
    await bench.registry.push(`oci:${zstd.path}`, 'team/zstd:1')
    const { ensure } = bench.open()
    const images = [await ensure(docker.reference), await ensure(`${bench.registry.host}/team/zstd:1`)]
    for (const image of images) {
      expect(await readFile(join(image.layers[0]!, 'hello'), 'utf8')).toBe('hello')
      expect(image.user).toBe('1000:1000')
    }
    expect(images[1]!.digest).toBe(zstd.digest)
  })

  test('find asks nobody and knows tag and digest', async () => {
    const { reference, digest } = await bench.push('team/find:1')
    const { store, ensure } = bench.open()
    expect(await store.find(parseImageReference(reference))).toBeUndefined()
    const made = await ensure(reference)
    expect(await store.find(parseImageReference(reference))).toEqual(made)
    const pinned = `${bench.registry.host}/team/find@${digest}`
    expect(await store.find(parseImageReference(pinned))).toEqual({ ...made, reference: pinned })
    expect(await ensure(pinned)).toEqual({ ...made, reference: pinned })
  })

  test('a tag that moved is resolved anew, and the older image stays', async () => {
    const first = await bench.push('team/moving:1')
    const { ensure, dir } = bench.open()
    await ensure(first.reference)
    const second = await bench.push('team/moving:1', { layers: [[{ name: 'bye', content: 'bye' }]] })
    const image = await ensure(first.reference)
    expect(image.digest).toBe(second.digest)
    expect(image.digest).not.toBe(first.digest)
    expect(await readdir(dir)).toContain(first.digest.replace(':', '-'))
  })

  test('an image in the cache is used when its registry is gone, and that is said', async () => {
    const own = await mkdtemp(join(bench.folder, 'gone-'))
    const gone = await startRegistry(own)
    const { path } = await bench.layout(hello)
    await gone.push(`oci:${path}`, 'team/hello:1')
    const { ensure } = bench.open({ registries: { insecure: [gone.host] } })
    const reference = `${gone.host}/team/hello:1`
    const before = await ensure(reference)
    await gone.stop()
    const said: string[] = []
    expect(await ensure(reference, message => said.push(message))).toEqual(before)
    expect(said).toEqual([expect.stringContaining('cannot be reached')])
    expect(await faultOf(ensure(`${gone.host}/team/other:1`))).toEqual({
      reason: 'unavailable',
      code: 'registry-unreachable',
      hinted: true,
    })
  })

  test('many who want one image share one download, in one process and across several', async () => {
    const { reference } = await bench.push('team/shared:1', {
      layers: [Array.from({ length: 300 }, (_, at) => ({ name: `file-${at}`, content: `${at}` }))],
    })
    const first = bench.open()
    const second = bench.open({ dir: first.dir })
    const said: string[] = []
    const images = await Promise.all([
      ...Array.from({ length: 10 }, () => first.ensure(reference, message => said.push(message))),
      ...Array.from({ length: 10 }, () => second.ensure(reference, message => said.push(message))),
    ])
    expect(new Set(images.map(image => image.layers[0])).size).toBe(1)
    // Each of the ten of one store hears of the one download; the other store waits and finds it made.
    expect(said.filter(message => message === `fetching ${reference}`)).toHaveLength(10)
    expect(said.filter(message => message.startsWith('another process'))).toHaveLength(10)
    expect(await readdir(join(first.dir, 'tmp'))).toEqual([])
  })

  test('two names of one image are one download', async () => {
    const { path, digest } = await bench.layout({ layers: [[{ name: 'x', content: 'two names' }]] })
    for (const name of ['team/first:1', 'team/first:2']) await bench.registry.push(`oci:${path}`, name)
    const { ensure } = bench.open()
    const host = bench.registry.host
    const images = await Promise.all(['team/first:1', 'team/first:2'].map(name => ensure(`${host}/${name}`)))
    expect(images.map(image => image.reference)).toEqual([`${host}/team/first:1`, `${host}/team/first:2`])
    expect(new Set(images.map(image => image.digest))).toEqual(new Set([digest]))
    // The layer and the configuration.
    const blobs = bench.registry.asked().filter(line => line.startsWith('GET /v2/team/first/blobs/'))
    expect(blobs).toHaveLength(2)
  })

  test('who aborts leaves, the others get their image; when all have left nothing remains', async () => {
    const { reference } = await bench.push('team/abort:1')
    const { ensure, dir } = bench.open()
    const abort = new AbortController()
    // Aborted by the progress of its own download, so that it is under way by then.
    const impatient = ensure(reference, () => abort.abort(), abort.signal)
    const patient = ensure(reference)
    expect((await faultOf(impatient)).reason).toBe('cancelled')
    expect((await patient).reference).toBe(reference)

    const other = await bench.push('team/abort:2', { layers: [[{ name: 'x', content: 'x' }]] })
    const all = new AbortController()
    const everybody = [1, 2].map(() => faultOf(ensure(other.reference, () => all.abort(), all.signal)))
    expect((await Promise.all(everybody)).map(fault => fault.reason)).toEqual(['cancelled', 'cancelled'])
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    expect(await readdir(dir)).not.toContain(other.digest.replace(':', '-'))
  })

  test('what a killed process left is no image and is swept by the next', async () => {
    const { reference, digest } = await bench.push('team/killed:1')
    const { dir, ensure } = bench.open()
    const leftovers = [`${digest.replace(':', '-')}.dead`, `sha256-${'0'.repeat(64)}.dead`]
    for (const name of leftovers) await mkdir(join(dir, 'tmp', name, 'rootfs'), { recursive: true })
    const image = await ensure(reference)
    expect(await readdir(image.layers[0]!)).toEqual(['hello'])
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
  })
})
