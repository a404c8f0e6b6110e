import { spawn } from 'node:child_process'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes } from 'node:fs/promises'
import { createServer, type IncomingMessage, request as ask, type Server } from 'node:http'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lacking, titled } from '../../../test/support/requirements.ts'
import { freePort, startRegistry, type TestRegistry } from '../../../test/support/registry.ts'
import { type LayoutOptions, writeLayout } from '../../../test/support/oci-layout.ts'
import { parseImageReference } from '../../api/image-reference.ts'
import type { Fault } from '../../lib/fault.ts'
import { silentLog } from '../../lib/log.ts'
import { mustRun } from '../../lib/run-process.ts'
import { createImageStore, type ImageStoreOptions } from './image-store.ts'

const why = lacking({ root: true, programs: ['skopeo', 'umoci', 'docker-registry', 'flock'] })
const never = new AbortController().signal
const silent = () => undefined

describe.skipIf(why)(titled('image store', why), () => {
  let folder: string
  let registry: TestRegistry
  let serial = 0

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bothy-images-'))
    await mkdir(join(folder, 'archives'))
    registry = await startRegistry(folder)
  })
  afterAll(async () => {
    await registry?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const open = (more: Partial<ImageStoreOptions> = {}) => {
    const dir = join(folder, `store-${++serial}`)
    const registries = { insecure: [registry.host] }
    const store = createImageStore({
      dir,
      archivesDir: join(folder, 'archives'),
      registries,
      log: silentLog,
      ...more,
    })
    const ensure = (text: string, onProgress: (message: string) => void = silent, signal = never) =>
      store.ensure(parseImageReference(text), onProgress, signal)
    return { dir, store, ensure }
  }
  const layout = async (options: LayoutOptions) => {
    const path = join(folder, `layout-${++serial}`)
    return { path, digest: await writeLayout(path, options) }
  }
  const hello: LayoutOptions = {
    layers: [[{ name: 'hello', content: 'hello' }]],
    config: { Env: ['A=b', 'PATH=/bin'], User: '1000:1000', WorkingDir: '/srv' },
  }
  const push = async (name: string, options: LayoutOptions = hello, more?: string[]) => {
    const made = await layout(options)
    await registry.push(`oci:${made.path}`, name, more)
    return { ...made, reference: `${registry.host}/${name}` }
  }
  const faultOf = async (promise: Promise<unknown>) =>
    promise.then(
      () => {
        throw new Error('no fault was raised')
      },
      (fault: Fault) => ({ reason: fault.reason, code: fault.code, hinted: fault.hint !== undefined }),
    )

  test('an image from a registry becomes a directory that everybody can pass through', async () => {
    const { reference, digest } = await push('team/hello:1')
    const { dir, ensure } = open()
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
    expect((await stat(join(rootfs, '..'))).mode & 0o777).toBe(0o755)
    expect(await readdir(join(rootfs, '..'))).toEqual(['config.json', 'rootfs'])
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    expect(said).toContain(`fetching ${reference}`)
  })

  test('a Docker image and one compressed with zstd are understood', async () => {
    const docker = await push('team/docker:1', hello, ['--format', 'v2s2'])
    const zstd = await layout({ ...hello, compression: 'zstd' })
    await registry.push(`oci:${zstd.path}`, 'team/zstd:1')
    const { ensure } = open()
    const images = [await ensure(docker.reference), await ensure(`${registry.host}/team/zstd:1`)]
    for (const image of images) {
      expect(await readFile(join(image.layers[0]!, 'hello'), 'utf8')).toBe('hello')
      expect(image.user).toBe('1000:1000')
    }
    expect(images[1]!.digest).toBe(zstd.digest)
  })

  test('find asks nobody and knows tag and digest', async () => {
    const { reference, digest } = await push('team/find:1')
    const { store, ensure } = open()
    expect(await store.find(parseImageReference(reference))).toBeUndefined()
    const made = await ensure(reference)
    expect(await store.find(parseImageReference(reference))).toEqual(made)
    const pinned = `${registry.host}/team/find@${digest}`
    expect(await store.find(parseImageReference(pinned))).toEqual({ ...made, reference: pinned })
    expect(await ensure(pinned)).toEqual({ ...made, reference: pinned })
  })

  test('a tag that moved is resolved anew, and the older image stays', async () => {
    const first = await push('team/moving:1')
    const { ensure, dir } = open()
    await ensure(first.reference)
    const second = await push('team/moving:1', { layers: [[{ name: 'bye', content: 'bye' }]] })
    const image = await ensure(first.reference)
    expect(image.digest).toBe(second.digest)
    expect(image.digest).not.toBe(first.digest)
    expect(await readdir(dir)).toContain(first.digest.replace(':', '-'))
  })

  test('an image in the cache is used when its registry is gone, and that is said', async () => {
    const own = await mkdtemp(join(folder, 'gone-'))
    const gone = await startRegistry(own)
    const { path } = await layout(hello)
    await gone.push(`oci:${path}`, 'team/hello:1')
    const { ensure } = open({ registries: { insecure: [gone.host] } })
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
    const { reference } = await push('team/shared:1', {
      layers: [Array.from({ length: 300 }, (_, at) => ({ name: `file-${at}`, content: `${at}` }))],
    })
    const first = open()
    const second = createImageStore({
      dir: first.dir,
      archivesDir: join(folder, 'archives'),
      registries: { insecure: [registry.host] },
      log: silentLog,
    })
    const said: string[] = []
    const one = parseImageReference(reference)
    const images = await Promise.all([
      ...Array.from({ length: 10 }, () => first.ensure(reference, message => said.push(message))),
      ...Array.from({ length: 10 }, () => second.ensure(one, message => said.push(message), never)),
    ])
    expect(new Set(images.map(image => image.layers[0])).size).toBe(1)
    // Each of the ten of one store hears of the one download; the other store waits and finds it made.
    expect(said.filter(message => message === `fetching ${reference}`)).toHaveLength(10)
    expect(said.filter(message => message.startsWith('another process'))).toHaveLength(10)
    expect(await readdir(join(first.dir, 'tmp'))).toEqual([])
  })

  test('who aborts leaves, the others get their image; when all have left nothing remains', async () => {
    const { reference } = await push('team/abort:1')
    const { ensure, dir } = open()
    const abort = new AbortController()
    // Aborted by the progress of its own download, so that it is under way by then.
    const impatient = ensure(reference, () => abort.abort(), abort.signal)
    const patient = ensure(reference)
    expect((await faultOf(impatient)).reason).toBe('cancelled')
    expect((await patient).reference).toBe(reference)

    const other = await push('team/abort:2', { layers: [[{ name: 'x', content: 'x' }]] })
    const all = new AbortController()
    const everybody = [1, 2].map(() => faultOf(ensure(other.reference, () => all.abort(), all.signal)))
    expect((await Promise.all(everybody)).map(fault => fault.reason)).toEqual(['cancelled', 'cancelled'])
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    expect(await readdir(dir)).not.toContain(other.digest.replace(':', '-'))
  })

  test('what a killed process left is no image and is swept by the next', async () => {
    const { reference, digest } = await push('team/killed:1')
    const { dir, ensure } = open()
    const leftovers = [`${digest.replace(':', '-')}.dead`, `sha256-${'0'.repeat(64)}.dead`]
    for (const name of leftovers) await mkdir(join(dir, 'tmp', name, 'rootfs'), { recursive: true })
    const image = await ensure(reference)
    expect(await readdir(image.layers[0]!)).toEqual(['hello'])
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
  })

  test('a process killed in the middle of a download leaves no process, no lock and no image', async () => {
    const { path, digest } = await layout(hello)
    await registry.push(`oci:${path}`, 'team/slow:1')
    // In front of the registry: it passes everything on except for the layers, which never come.
    const stuck = Promise.withResolvers<IncomingMessage>()
    const manifest = JSON.parse(await readFile(join(path, 'blobs', ...digest.split(':')), 'utf8')) as {
      layers: { digest: string }[]
    }
    const slow = createServer((request, response) => {
      if (request.url?.includes(manifest.layers[0]!.digest) === true) return stuck.resolve(request)
      const { url, method, headers } = request
      const onward = ask(`http://${registry.host}${url}`, { method, headers }, answer => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
      onward.end()
    }).listen(0, '127.0.0.1')
    await once(slow, 'listening')
    const host = `127.0.0.1:${(slow.address() as { port: number }).port}`
    const { dir, ensure } = open({ registries: { insecure: [host] } })
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
      const said: string[] = []
      const pinned = `${registry.host}/team/slow@${digest}`
      const store = createImageStore({
        dir,
        archivesDir: dir,
        registries: { insecure: [registry.host] },
        log: silentLog,
      })
      const image = await store.ensure(parseImageReference(pinned), message => said.push(message), never)
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

  describe('refuses with a reason', () => {
    test.each([
      ['an unknown image', 'team/unknown:1', 'not_found', 'image-not-found'],
      ['an unknown tag', 'team/hello:none', 'not_found', 'image-not-found'],
    ])('%s', async (_, name, reason, code) => {
      await push('team/hello:1')
      const { ensure } = open()
      expect(await faultOf(ensure(`${registry.host}/${name}`))).toEqual({ reason, code, hinted: true })
    })

    test('a registry without TLS that is not listed as insecure', async () => {
      const { reference } = await push('team/plain:1')
      const { ensure } = open({ registries: {} })
      expect(await faultOf(ensure(reference))).toEqual({
        reason: 'unavailable',
        code: 'registry-untrusted',
        hinted: true,
      })
    })

    test('a private image, unless the runner has credentials', async () => {
      // bcrypt of 'secret'; the cost is the lowest there is.
      const htpasswd = 'me:$2b$04$f52E/TJJ2Cq4VkoG031PGuLdj0RZGMRg/ljf5q.4j6239KZ2.IsE.\n'
      const own = await mkdtemp(join(folder, 'private-'))
      const locked = await startRegistry(own, { htpasswd })
      try {
        const registries = { insecure: [locked.host] }
        const expected = { reason: 'forbidden', code: 'image-forbidden', hinted: true }
        expect(await faultOf(open({ registries }).ensure(`${locked.host}/team/app:1`))).toEqual(expected)
        const authFile = join(own, 'auth.json')
        const login = ['login', '--tls-verify=false', '--authfile', authFile, '-u', 'me', '--password-stdin']
        await mustRun(['skopeo', ...login, locked.host], { input: 'secret' })
        await locked.push(`oci:${(await layout(hello)).path}`, 'team/app:1', ['--dest-authfile', authFile])
        const image = await open({ registries: { ...registries, authFile } }).ensure(
          `${locked.host}/team/app:1`,
        )
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
        const { ensure } = open({ registries: { insecure: [`127.0.0.1:${address.port}`] } })
        const fault = await faultOf(ensure(`127.0.0.1:${address.port}/team/app:1`))
        expect(fault).toEqual({ reason, code, hinted: true })
      } finally {
        server.closeAllConnections()
        server.close()
      }
    })

    test('a host that is nowhere', async () => {
      const { ensure } = open()
      expect((await faultOf(ensure(`127.0.0.1:${await freePort()}/x:1`))).code).toBe('registry-unreachable')
    })

    test('an image for another processor', async () => {
      const { path } = await layout({ ...hello, architecture: 's390x' })
      await registry.push(`oci:${path}`, 'team/s390x:1', ['--all'])
      const image = await open()
        .ensure(`${registry.host}/team/s390x:1`)
        .catch((fault: Fault) => fault)
      // A single manifest is taken as it is, as every container engine does; only an index offers a choice.
      expect(image).toMatchObject({ user: '1000:1000' })
    })

    test('an image that grows beyond the ceiling, and leaves nothing of it', async () => {
      const zeros = Buffer.alloc(32 << 20)
      const { reference, digest } = await push('team/bomb:1', {
        layers: [Array.from({ length: 4 }, (_, at) => ({ name: `zeros-${at}`, content: zeros }))],
      })
      const { ensure, dir } = open({ maxBytes: 16 << 20 })
      const expected = { reason: 'invalid', code: 'image-too-large', hinted: true }
      expect(await faultOf(ensure(reference))).toEqual(expected)
      expect(await readdir(join(dir, 'tmp'))).toEqual([])
      expect(await readdir(dir)).not.toContain(digest.replace(':', '-'))
    })

    test('a disk without space', async () => {
      const { reference } = await push('team/full:1', {
        layers: [[{ name: 'big', content: Buffer.alloc(24 << 20, 1) }]],
      })
      const { ensure, dir } = open()
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

    test('files of owners that no environment has', async () => {
      const { reference } = await push('team/foreign:1', { layers: [[{ name: 'x', uid: 70_000 }]] })
      expect((await faultOf(open().ensure(reference))).code).toBe('image-foreign-owner')
    })
  })

  describe('keeps a hostile layer inside of its root', () => {
    test.each([
      ['climbs out by name', [{ name: '../../../escaped', content: 'x' }]],
      ['names an absolute path', [{ name: '/escaped', content: 'x' }]],
      [
        'writes through an absolute link',
        [
          { name: 'door', type: 'symlink' as const, target: '/tmp' },
          { name: 'door/escaped-by-bothy-test', content: 'x' },
        ],
      ],
      [
        'writes through a relative link',
        [
          { name: 'door', type: 'symlink' as const, target: '../../..' },
          { name: 'door/escaped', content: 'x' },
        ],
      ],
      [
        'hard-links to a file of the host',
        [{ name: 'stolen', type: 'link' as const, target: '../../../../../../../../etc/hostname' }],
      ],
      [
        'removes files outside by a whiteout',
        [
          { name: 'door', type: 'symlink' as const, target: '../../../witness' },
          { name: 'door/.wh.precious', content: '' },
        ],
      ],
    ])('that %s', async (_, entries) => {
      const name = `team/hostile-${++serial}:1`
      const { reference } = await push(name, { layers: [entries] })
      const { ensure, dir } = open()
      await mkdir(join(dir, 'witness'), { recursive: true })
      await mkdir(join(dir, 'witness', 'precious'))
      const outcome = await ensure(reference).catch((fault: Fault) => fault.reason)
      // Refused, or held inside: both are right, a file outside is not.
      if (typeof outcome === 'string') expect(outcome).toBe('invalid')
      else {
        const stolen = await lstat(join(outcome.layers[0]!, 'stolen')).catch(() => undefined)
        expect(stolen?.ino).not.toBe((await stat('/etc/hostname')).ino)
      }
      expect(await readdir(join(dir, 'witness'))).toEqual(['precious'])
      for (const outside of [dir, join(dir, '..'), join(dir, 'tmp'), '/tmp', '/']) {
        expect((await readdir(outside)).filter(file => file.startsWith('escaped'))).toEqual([])
      }
    })

    test('whose devices are not unpacked', async () => {
      const { reference } = await push('team/devices:1', {
        layers: [
          [
            { name: 'disk', type: 'character', device: [1, 1], mode: 0o666 },
            { name: 'kept', content: '' },
          ],
        ],
      })
      const image = await open().ensure(reference)
      expect(await readdir(image.layers[0]!)).toEqual(['kept'])
    })

    test('whose settings lead astray', async () => {
      const { reference } = await push('team/settings:1', {
        layers: [[{ name: 'x' }]],
        config: { Env: ['GOOD=1', 'no assignment', '=none'], WorkingDir: '/srv/../proc/self/fd/7', User: '' },
      })
      const { env, user, workingDir } = await open().ensure(reference)
      expect({ env, user, workingDir }).toEqual({ env: ['GOOD=1'], user: 'root', workingDir: '/' })
    })
  })

  describe('archives', () => {
    const archive = (name: string) => join(folder, 'archives', name)

    test('a directory and a file give the image that the registry gives', async () => {
      const digest = await writeLayout(archive('dir'), hello)
      await mustRun(['tar', '-C', archive('dir'), '-cf', archive('file.tar'), '.'])
      const { ensure, store } = open()
      const image = await ensure('oci:dir')
      expect(image).toMatchObject({ reference: 'oci:dir', digest, user: '1000:1000' })
      expect(await ensure('oci-archive:file.tar')).toEqual({ ...image, reference: 'oci-archive:file.tar' })
      await rm(archive('file.tar'))
      expect(await store.find(parseImageReference('oci-archive:file.tar'))).toMatchObject({ digest })
    })

    test('a file alone, with the layers of a changed one', async () => {
      const { path } = await layout(hello)
      await mustRun(['tar', '-C', path, '-cf', archive('one.tar'), 'oci-layout', 'index.json', 'blobs'])
      const { ensure } = open()
      const first = await ensure('oci-archive:one.tar')
      expect(await readdir(first.layers[0]!)).toEqual(['hello'])
      const next = await layout({ layers: [[{ name: 'next' }]] })
      await mustRun(['tar', '-C', next.path, '-cf', archive('one.tar'), '.'])
      await utimes(archive('one.tar'), 1, 1)
      expect(await readdir((await ensure('oci-archive:one.tar')).layers[0]!)).toEqual(['next'])
    })

    test.each([
      ['is not there', 'oci-archive:none.tar', 'not_found', 'image-archive-missing'],
      ['is a link out of the folder', 'oci-archive:link.tar', 'forbidden', 'image-archive-outside'],
      ['is a directory that links out', 'oci:link-dir', 'forbidden', 'image-archive-outside'],
      ['is the folder itself', 'oci:self', 'not_found', 'image-archive-missing'],
      ['is something else', 'oci-archive:text.tar', 'invalid', 'image-archive-malformed'],
    ])('one that %s is refused', async (_, reference, reason, code) => {
      const { path } = await layout(hello)
      await mustRun(['tar', '-C', path, '-cf', join(folder, 'outside.tar'), '.'])
      for (const [name, target] of Object.entries({
        'link.tar': join(folder, 'outside.tar'),
        'link-dir': path,
        self: '.',
      })) {
        await rm(archive(name), { force: true })
        await symlink(target, archive(name))
      }
      await mustRun(['dd', 'if=/dev/zero', `of=${archive('text.tar')}`, 'bs=1k', 'count=4'])
      await chmod(archive('text.tar'), 0o644)
      expect(await faultOf(open().ensure(reference))).toEqual({ reason, code, hinted: true })
    })
  })
})
