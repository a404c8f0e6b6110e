import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { testImage } from '../../../test/support/image.ts'
import { lacking, titled } from '../../../test/support/requirements.ts'
import type { Fault } from '../../lib/fault.ts'
import { silentLog } from '../../lib/log.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import { createImageStore } from './image-store.ts'

const why = lacking({ root: true, programs: ['mmdebstrap', 'flock'] })

describe.skipIf(why)(titled('an image made from the package mirror', why), () => {
  test('is a machine that one can work in', { timeout: 600_000 }, async context => {
    const image = await testImage().catch((fault: Fault) => fault)
    if (image instanceof Error) {
      if (image.reason === 'unavailable') return context.skip(image.message)
      throw image
    }
    const rootfs = image.layers[0]!
    expect(image.digest).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(image).toMatchObject({ user: 'root', workingDir: '/', layers: [rootfs] })
    expect(image.env).toContain('LANG=C.UTF-8')
    expect(await readdir(join(rootfs, '..'))).toEqual(expect.arrayContaining(['config.json', 'rootfs']))
    expect((await stat(rootfs)).mode & 0o777).toBe(0o755)
    expect(await mustRun(['find', rootfs, '-type', 'c', '-o', '-type', 'b'])).toBe('')
    const programs = [
      'bash',
      'git',
      'curl',
      'ssh',
      'sudo',
      'less',
      'ps',
      'ip',
      'ping',
      'nano',
      'unzip',
      'xz',
      'apt-get',
    ]
    const script = 'for name; do command -v "$name" >/dev/null || echo "$name"; done'
    expect(await mustRun(['chroot', rootfs, '/bin/sh', '-c', script, 'sh', ...programs])).toBe('')
    // apt goes on with the mirror that the image came from.
    const sources = await readFile(join(rootfs, 'etc/apt/sources.list'), 'utf8')
    expect(sources).toMatch(/^deb https?:\/\/\S+ \w+ main/m)
    expect((await runProcess(['chroot', rootfs, 'apt-get', 'check'])).code).toBe(0)
  })

  test('of a suite that the mirror lacks is refused; a mirror that does not answer is said to', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'bothy-bootstrap-'))
    const mirror = createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1')
    await once(mirror, 'listening')
    const url = `http://127.0.0.1:${(mirror.address() as { port: number }).port}/debian`
    const store = createImageStore({ dir, archivesDir: dir, mirror: url, log: silentLog })
    const reference = { kind: 'bootstrap', suite: 'nosuchsuite' } as const
    const signal = new AbortController().signal
    try {
      expect(await store.find(reference)).toBeUndefined()
      const refused = store.ensure(reference, () => undefined, signal)
      await expect(refused).rejects.toMatchObject({ reason: 'not_found', code: 'bootstrap-no-suite' })
      mirror.closeAllConnections()
      mirror.close()
      await once(mirror, 'close')
      const unanswered = store.ensure(reference, () => undefined, signal)
      await expect(unanswered).rejects.toMatchObject({ reason: 'unavailable' })
      expect(await readdir(join(dir, 'tmp'))).toEqual([])
    } finally {
      mirror.close()
      await rm(dir, { recursive: true })
    }
  })
})
