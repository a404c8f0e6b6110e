// What arrives is what the digest names, or nothing: registries that send something else.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  faultOf,
  hello,
  type ImageBench,
  openImageBench,
  whyNoImages,
} from '../../../test/support/image-bench.ts'
import { type RegistryProxy, startRegistryProxy } from '../../../test/support/registry-proxy.ts'
import { titled } from '../../../test/support/requirements.ts'

const why = whyNoImages()

interface Manifest {
  config: { digest: string }
  layers: { digest: string; size: number }[]
}

describe.skipIf(why)(titled('image store, given wrong bytes', why), () => {
  let bench: ImageBench
  let proxy: RegistryProxy
  let manifest: Manifest
  let digest: string
  beforeAll(async () => {
    bench = await openImageBench()
    proxy = await startRegistryProxy(bench.registry.host)
    const made = await bench.push('team/app:1')
    digest = made.digest
    manifest = JSON.parse(await readFile(blob(made.path, digest), 'utf8')) as Manifest
  })
  afterEach(() => {
    proxy.tamper = undefined
  })
  afterAll(async () => {
    proxy?.close()
    await bench?.close()
  })
  const open = () => bench.open({ registries: { insecure: [proxy.host] } })
  const blob = (layout: string, name: string) => join(layout, 'blobs', ...name.split(':'))
  /** As long as before, and another byte in the middle. */
  const flipped = (body: Buffer) => {
    const copy = Buffer.from(body)
    copy[copy.length >> 1]! ^= 1
    return copy
  }
  const corrupt = { reason: 'invalid', code: 'image-corrupt', hinted: true }

  test.each([
    ['a layer of other bytes', () => manifest.layers[0]!.digest, flipped, corrupt],
    ['a configuration of other bytes', () => manifest.config.digest, flipped, corrupt],
    ['a manifest of other bytes', () => digest, flipped, corrupt],
    [
      'a layer that ends in the middle',
      () => manifest.layers[0]!.digest,
      (body: Buffer) => body.subarray(0, body.length >> 1),
      { reason: 'unavailable', code: 'registry-interrupted', hinted: true },
    ],
  ])('%s: nothing is kept, and the right ones are taken later', async (_, which, change, fault) => {
    const { ensure, dir } = open()
    let seen = 0
    proxy.tamper = (path, body) => {
      if (!path.endsWith(which())) return undefined
      seen += 1
      return change(body)
    }
    for (const name of ['team/app:1', `team/app@${digest}`])
      expect(await faultOf(ensure(`${proxy.host}/${name}`))).toEqual(fault)
    expect(seen).toBeGreaterThan(0)
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    expect((await readdir(dir)).filter(name => name.startsWith('sha256-'))).toEqual([])
    proxy.tamper = undefined
    expect(await readdir((await ensure(`${proxy.host}/team/app:1`)).layers[0]!)).toEqual(['hello'])
  })

  test('a layer of another size than its manifest says', async () => {
    const [layer] = manifest.layers
    const wrong = JSON.stringify({ ...manifest, layers: [{ ...layer, size: layer!.size + 1 }] })
    const type = 'application/vnd.oci.image.manifest.v1+json'
    const pinned = await bench.registry.putManifest('team/app', 'sized', type, wrong)
    expect(await faultOf(bench.open().ensure(`${bench.registry.host}/team/app@${pinned}`))).toEqual(corrupt)
  })

  test('a layer that is not the tar stream its configuration names', async () => {
    const { path } = await bench.layout(hello)
    const config = JSON.parse(await readFile(blob(path, manifest.config.digest), 'utf8')) as object
    const other = { ...config, rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] } }
    const { reference } = await bench.push('team/diff:1', { ...hello, rawConfig: other })
    expect(await faultOf(bench.open().ensure(reference))).toEqual(corrupt)
  })

  test('a digest that names another image is not found', async () => {
    const { ensure } = open()
    const unknown = `sha256:${'5'.repeat(64)}`
    expect(await faultOf(ensure(`${proxy.host}/team/app@${unknown}`))).toMatchObject({ reason: 'not_found' })
  })
})
