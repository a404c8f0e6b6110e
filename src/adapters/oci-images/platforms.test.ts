// Images for several processors: the right one is taken, and who is left out hears what there is.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hello, type ImageBench, openImageBench, whyNoImages } from '../../../test/support/image-bench.ts'
import { nestIndex } from '../../../test/support/oci-layout.ts'
import { titled } from '../../../test/support/requirements.ts'
import type { Fault } from '../../lib/fault.ts'
import { mustRun } from '../../lib/run-process.ts'

const why = whyNoImages()

const OCI = 'application/vnd.oci.image.index.v1+json'
const LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'
const here = process.arch === 'x64' ? 'amd64' : process.arch

describe.skipIf(why)(titled('image store, choosing for its processor', why), () => {
  let bench: ImageBench
  beforeAll(async () => {
    bench = await openImageBench()
  })
  afterAll(() => bench?.close())

  interface Part {
    readonly platform: Readonly<Record<string, string>>
    readonly content: string
    readonly annotations?: Readonly<Record<string, string>>
  }
  /** Pushes an index of images, each with a file `hello` that says what it is for. */
  const pushIndex = async (name: string, type: typeof OCI | typeof LIST, parts: readonly Part[]) => {
    const docker = type === LIST
    const manifests = []
    for (const { platform, content, annotations } of parts) {
      const options = {
        layers: [[{ name: 'hello', content }]],
        architecture: platform['architecture'] ?? here,
      }
      const tag = `part-${manifests.length}`
      await bench.push(`${name}:${tag}`, options, docker ? ['--format', 'v2s2'] : [])
      const raw = await mustRun([
        'skopeo',
        'inspect',
        '--raw',
        '--tls-verify=false',
        `docker://${bench.registry.host}/${name}:${tag}`,
      ])
      const { mediaType } = JSON.parse(raw) as { mediaType: string }
      const digest = await bench.registry.putManifest(name, tag, mediaType, raw)
      manifests.push({ mediaType, digest, size: Buffer.byteLength(raw), platform, annotations })
    }
    const index = JSON.stringify({ schemaVersion: 2, mediaType: type, manifests })
    const digest = await bench.registry.putManifest(name, 'all', type, index)
    return { digest, reference: `${bench.registry.host}/${name}:all` }
  }
  const attestation: Part = {
    platform: { os: 'unknown', architecture: 'unknown' },
    content: 'in-toto',
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  }
  const linux = (architecture: string, variant?: string): Part => ({
    platform: { os: 'linux', architecture, ...(variant && { variant }) },
    content: architecture,
  })
  const other = here === 'arm64' ? 'amd64' : 'arm64'

  test.each<[string, typeof OCI | typeof LIST, Part[]]>([
    ['an OCI index with attestations', OCI, [attestation, linux(other), linux(here), linux('s390x')]],
    ['a Docker manifest list', LIST, [linux(other), linux(here)]],
  ])('%s', async (_, type, parts) => {
    const { reference, digest } = await pushIndex(`team/index-${parts.length}`, type, parts)
    const image = await bench.open().ensure(reference)
    expect(await readFile(join(image.layers[0]!, 'hello'), 'utf8')).toBe(here)
    // Of the index: what people see in other tools, and what they pin.
    expect(image.digest).toBe(digest)
  })

  test('an index without an image for this processor names those that it has', async () => {
    const parts = [
      attestation,
      linux('s390x'),
      linux('arm', 'v7'),
      { ...linux(here), platform: { os: 'windows', architecture: here } },
    ]
    const { reference } = await pushIndex('team/elsewhere', OCI, parts)
    const fault = await bench
      .open()
      .ensure(reference)
      .catch((error: Fault) => error)
    expect(fault).toMatchObject({
      reason: 'invalid',
      code: 'image-architecture',
      message: expect.stringMatching(
        new RegExp(`${reference}.*${here}.*; it is there for linux/s390x, linux/arm/v7, windows/${here}$`),
      ),
    })
  })

  test('an archive that holds an index, as builders write them', async () => {
    const layout = await bench.layout(hello)
    await nestIndex(layout.path, { os: 'linux', architecture: here })
    await mustRun([
      'tar',
      '--create',
      '--file',
      join(bench.archives, 'nested.tar'),
      '--directory',
      layout.path,
      '.',
    ])
    const image = await bench.open().ensure('oci-archive:nested.tar')
    expect(await readFile(join(image.layers[0]!, 'hello'), 'utf8')).toBe('hello')
    await nestIndex(layout.path, { os: 'linux', architecture: 's390x' })
    await mustRun(['cp', '-a', layout.path, join(bench.archives, 'nested')])
    const fault = await bench
      .open()
      .ensure('oci:nested')
      .catch((error: Fault) => error)
    expect(fault).toMatchObject({ code: 'image-architecture' })
  })
})
