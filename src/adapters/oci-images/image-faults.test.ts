import { once } from 'node:events'
import { mkdir, mkdtemp, readdir } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  faultOf,
  hello,
  type ImageBench,
  openImageBench,
  whyNoImages,
} from '../../../test/support/image-bench.ts'
import { freePort, startRegistry } from '../../../test/support/registry.ts'
import { titled } from '../../../test/support/requirements.ts'
import type { Fault } from '../../lib/fault.ts'
import { mustRun } from '../../lib/run-process.ts'

const why = whyNoImages()

describe.skipIf(why)(titled('image store, refusing with a reason', why), () => {
  let bench: ImageBench
  beforeAll(async () => {
    bench = await openImageBench()
  })
  afterAll(() => bench?.close())

  test.each([
    ['an unknown image', 'team/unknown:1', 'not_found', 'image-not-found'],
    ['an unknown tag', 'team/hello:none', 'not_found', 'image-not-found'],
  ])('%s', async (_, name, reason, code) => {
    await bench.push('team/hello:1')
    const { ensure } = bench.open()
    expect(await faultOf(ensure(`${bench.registry.host}/${name}`))).toEqual({ reason, code, hinted: true })
  })

  test('a registry without TLS that is not listed as insecure', async () => {
    const { reference } = await bench.push('team/plain:1')
    const { ensure } = bench.open({ registries: {} })
    expect(await faultOf(ensure(reference))).toEqual({
      reason: 'unavailable',
      code: 'registry-untrusted',
      hinted: true,
    })
  })

  test('a private image, unless the runner has credentials', async () => {
    // bcrypt of 'secret'; the cost is the lowest there is.
    const htpasswd = 'me:$2b$04$f52E/TJJ2Cq4VkoG031PGuLdj0RZGMRg/ljf5q.4j6239KZ2.IsE.\n'
    const own = await mkdtemp(join(bench.folder, 'private-'))
    const locked = await startRegistry(own, { htpasswd })
    try {
      const registries = { insecure: [locked.host] }
      const expected = { reason: 'forbidden', code: 'image-forbidden', hinted: true }
      expect(await faultOf(bench.open({ registries }).ensure(`${locked.host}/team/app:1`))).toEqual(expected)
      const authFile = join(own, 'auth.json')
      const login = ['login', '--tls-verify=false', '--authfile', authFile, '-u', 'me', '--password-stdin']
      await mustRun(['skopeo', ...login, locked.host], { input: 'secret' })
      await locked.push(`oci:${(await bench.layout(hello)).path}`, 'team/app:1', [
        '--dest-authfile',
        authFile,
      ])
      const image = await bench
        .open({ registries: { ...registries, authFile } })
        .ensure(`${locked.host}/team/app:1`)
      expect(image.user).toBe('1000:1000')
    } finally {
      await locked.stop()
    }
  })

  test.each([
    [401, 'forbidden', 'image-forbidden'],
    [403, 'forbidden', 'image-forbidden'],
    [429, 'unavailable', 'registry-busy'],
    [503, 'unavailable', 'registry-unreachable'],
  ])('a registry that answers %i', async (status, reason, code) => {
    const server: Server = createServer((request, response) => {
      const answer = request.url === '/v2/' ? 200 : status
      if (answer === 401) response.setHeader('www-authenticate', 'Basic realm="test"')
      response.writeHead(answer).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address() as { port: number }
    try {
      const { ensure } = bench.open({ registries: { insecure: [`127.0.0.1:${address.port}`] } })
      const fault = await faultOf(ensure(`127.0.0.1:${address.port}/team/app:1`))
      expect(fault).toEqual({ reason, code, hinted: true })
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  test('a host that is nowhere', async () => {
    const { ensure } = bench.open()
    expect((await faultOf(ensure(`127.0.0.1:${await freePort()}/x:1`))).code).toBe('registry-unreachable')
  })

  test('an image for another processor', async () => {
    const { path } = await bench.layout({ ...hello, architecture: 's390x' })
    await bench.registry.push(`oci:${path}`, 'team/s390x:1', ['--all'])
    const image = await bench
      .open()
      .ensure(`${bench.registry.host}/team/s390x:1`)
      .catch((fault: Fault) => fault)
    // A single manifest is taken as it is, as every container engine does; only an index offers a choice.
    expect(image).toMatchObject({ user: '1000:1000' })
  })

  test('an image that grows beyond the ceiling, and leaves nothing of it', async () => {
    const zeros = Buffer.alloc(32 << 20)
    const { reference, digest } = await bench.push('team/bomb:1', {
      layers: [Array.from({ length: 4 }, (_, at) => ({ name: `zeros-${at}`, content: zeros }))],
    })
    const { ensure, dir } = bench.open({ maxBytes: 16 << 20 })
    const expected = { reason: 'invalid', code: 'image-too-large', hinted: true }
    expect(await faultOf(ensure(reference))).toEqual(expected)
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    expect(await readdir(dir)).not.toContain(digest.replace(':', '-'))
  })

  test('a disk without space', async () => {
    const { reference } = await bench.push('team/full:1', {
      layers: [[{ name: 'big', content: Buffer.alloc(24 << 20, 1) }]],
    })
    const { ensure, dir } = bench.open({ room: async () => ({ freeBytes: 1, lowBytes: 0 }) })
    await mkdir(dir)
    await mustRun(['mount', '-t', 'tmpfs', '-o', 'size=18M', 'tmpfs', dir])
    try {
      expect(await faultOf(ensure(reference))).toEqual({
        reason: 'exhausted',
        code: 'image-no-space',
        hinted: true,
      })
      expect(await readdir(join(dir, 'tmp'))).toEqual([])
    } finally {
      await mustRun(['umount', dir])
    }
  })

  test('a host that is short of room, before and while it is fetched', async () => {
    const { reference, digest } = await bench.push('team/room:1', {
      layers: [[{ name: 'big', content: Buffer.alloc(24 << 20, 1) }]],
    })
    for (const looks of [0, 1]) {
      let asked = 0
      const room = async () => ({ freeBytes: asked++ < looks ? 200 : 99, lowBytes: 100 })
      const { ensure, dir } = bench.open({ room })
      expect(await faultOf(ensure(reference))).toEqual({
        reason: 'exhausted',
        code: 'image-no-room',
        hinted: true,
      })
      expect(await readdir(join(dir, 'tmp'))).toEqual([])
      expect(await readdir(dir)).not.toContain(digest.replace(':', '-'))
    }
  })

  test('files of owners that no environment has', async () => {
    const { reference } = await bench.push('team/foreign:1', { layers: [[{ name: 'x', uid: 70_000 }]] })
    expect((await faultOf(bench.open().ensure(reference))).code).toBe('image-foreign-owner')
  })
})
