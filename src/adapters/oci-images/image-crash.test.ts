import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { request as ask, createServer, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hello, type ImageBench, openImageBench, whyNoImages } from '../../../test/support/image-bench.ts'
import { titled } from '../../../test/support/requirements.ts'

const why = whyNoImages()

describe.skipIf(why)(titled('image store, killed', why), () => {
  let bench: ImageBench
  beforeAll(async () => {
    bench = await openImageBench()
  })
  afterAll(() => bench?.close())

  test('a process killed in the middle of a download leaves no process, no lock and no image', async () => {
    const { path, digest } = await bench.layout(hello)
    await bench.registry.push(`oci:${path}`, 'team/slow:1')
    // In front of the registry: it passes everything on except for the layers, which never come.
    const stuck = Promise.withResolvers<IncomingMessage>()
    const manifest = JSON.parse(await readFile(join(path, 'blobs', ...digest.split(':')), 'utf8')) as {
      layers: { digest: string }[]
    }
    const slow = createServer((request, response) => {
      if (request.url?.includes(manifest.layers[0]!.digest) === true) return stuck.resolve(request)
      const { url, method, headers } = request
      const onward = ask(`http://${bench.registry.host}${url}`, { method, headers }, answer => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
      onward.end()
    }).listen(0, '127.0.0.1')
    await once(slow, 'listening')
    const host = `127.0.0.1:${(slow.address() as { port: number }).port}`
    const { dir, ensure } = bench.open({ registries: { insecure: [host] } })
    const script = `
      import { createImageStore } from ${JSON.stringify(new URL('./image-store.ts', import.meta.url).href)}
      import { silentLog } from ${JSON.stringify(new URL('../../lib/log.ts', import.meta.url).href)}
      const [dir, host] = process.argv.slice(-2)
      const store = createImageStore({ dir, archivesDir: dir, registries: { insecure: [host] }, log: silentLog })
      await store.ensure({ kind: 'registry', reference: host + '/team/slow:1' }, () => {}, new AbortController().signal)
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, '--', dir, host])
    try {
      const request = await stuck.promise
      const gone = once(request.socket, 'close')
      child.kill('SIGKILL')
      // The connection belongs to skopeo, which ends with the process that started it.
      await gone
      expect(await readdir(join(dir, 'tmp'))).toHaveLength(1)
      expect(await readdir(dir)).not.toContain(digest.replace(':', '-'))
      const pinned = `${bench.registry.host}/team/slow@${digest}`
      const image = await bench.open({ dir }).ensure(pinned)
      expect(await readdir(image.layers[0]!)).toEqual(['hello'])
      expect(await readdir(join(dir, 'tmp'))).toEqual([])
      // And through the slow one it is found without another download.
      expect((await ensure(`${host}/team/slow:1`)).digest).toBe(digest)
    } finally {
      child.kill('SIGKILL')
      slow.closeAllConnections()
      slow.close()
    }
  })
})
