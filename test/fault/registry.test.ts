// Images in earnest: a crowd that wants the same one, registries with locks, what is said meanwhile, kills in the middle,
// and what becomes of images that nobody needs.
import { readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { findCondition } from '../../src/api/conditions.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { kill, processes } from '../fault/processes.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { type TarEntry, writeLayout } from '../support/oci-layout.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { type RegistryProxy, startRegistryProxy } from '../support/registry-proxy.ts'
import { lacking, titled } from '../support/requirements.ts'
import { openStack, type Stack, testClass } from '../support/stack.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['skopeo', 'umoci', 'docker-registry'] })

const PASSWORD = 'battery-staple-51'
// bcrypt of it; the cost is the lowest there is.
const HTPASSWD = 'me:$2b$04$f52E/TJJ2Cq4VkoG031PGuFS2VSVkyqdGM5e5N2Fjf4uwLErjIz1C\n'
const authOf = (password: string) => ({ auth: Buffer.from(`me:${password}`).toString('base64') })

describe.skipIf(reason !== undefined)(titled('registries', reason), () => {
  let stack: Stack
  let registry: TestRegistry
  let proxy: RegistryProxy
  let locked: TestRegistry
  let lockedProxy: RegistryProxy
  let serial = 0

  beforeAll(async () => {
    const runner = async (folder: string) => {
      registry = await startRegistry(folder)
      proxy = await startRegistryProxy(registry.host)
      const other = join(folder, 'locked')
      await mkdir(other)
      locked = await startRegistry(other, { htpasswd: HTPASSWD })
      lockedProxy = await startRegistryProxy(locked.host)
      const authFile = join(folder, 'auth.json')
      const auths = { [locked.host]: authOf(PASSWORD), [lockedProxy.host]: authOf('wrong') }
      await writeFile(authFile, JSON.stringify({ auths }), { mode: 0o600 })
      const hosts = [registry, proxy, locked, lockedProxy].map(({ host }) => host)
      return { registries: { insecure: hosts, authFile } }
    }
    stack = await openStack({ ownImages: true, runner })
    await push('team/base:1')
    await stack.ok('apply -f -', { stdin: testClass('small', `${registry.host}/team/base:1`) })
  })
  afterAll(async () => {
    await stack?.close()
    for (const each of [proxy, lockedProxy]) each?.close()
    for (const each of [registry, locked]) await each?.stop()
  })
  afterEach(async () => {
    proxy.intercept = undefined
    const names = (await stack.ok('env list -o name')).split('\n').filter(name => name !== '')
    for (const name of names) await stack.bothy(['env', 'delete', name.split('/').at(-1)!])
  })

  /** An image that environments can be made of; each has a layer of its own. */
  const push = async (name: string, more: readonly TarEntry[] = [], to = registry, flags: string[] = []) => {
    const path = join(stack.folder, `layout-${++serial}`)
    const digest = await writeLayout(path, {
      layers: [
        [
          { name: 'etc', type: 'directory' },
          { name: 'etc/passwd', content: 'root:x:0:0::/:/bin/tiny\n' },
          { name: 'bin', type: 'directory' },
          // The one static program that every host of environments has.
          { name: 'bin/tiny', content: readFileSync('/usr/bin/catatonit'), mode: 0o755 },
        ],
        [{ name: 'etc/which', content: name }, ...more],
      ],
      config: { Env: ['PATH=/bin'] },
    })
    await to.push(`oci:${path}`, name, flags)
    const { layers } = JSON.parse(await readFile(join(path, 'blobs', ...digest.split(':')), 'utf8')) as {
      layers: { digest: string; size: number }[]
    }
    return { digest, layers, reference: `${to.host}/${name}` }
  }
  const imagesDir = async () => {
    // In the pool, wherever that is on this host.
    const found = await Promise.all(
      ['host/pool/images', 'host/images'].map(name =>
        stat(join(stack.dataDir, name)).then(
          () => [join(stack.dataDir, name)],
          () => [],
        ),
      ),
    )
    return found.flat()[0]!
  }
  const folderOf = async (digest: string) => join(await imagesDir(), digest.replace(':', '-'))
  const create = (name: string, ...options: string[]) =>
    stack.bothy(['env', 'create', '--empty', '--name', name, ...options])
  const runnerName = async () => (await stack.ok('get runners -o name')).trim().split('/').at(-1)!
  const toolsAtWork = () =>
    processes().filter(
      ({ argv }) => /^(?:skopeo|umoci)$/.test(argv[0] ?? '') && argv.some(each => each.includes('image')),
    )
  /** Lets the beginning of that layer through the proxy, and the rest when it is told to. */
  const holdBack = (digest: string, bytes: number) => {
    const reached = Promise.withResolvers<ServerResponse>()
    proxy.intercept = (request, response) => {
      if (request.url?.endsWith(`/blobs/${digest}`) !== true) return false
      void fetch(`http://${registry.host}${request.url}`)
        .then(answer => answer.arrayBuffer())
        .then(body => {
          const whole = Buffer.from(body)
          response.writeHead(200, { 'content-length': whole.length })
          response.write(whole.subarray(0, bytes))
          reached.resolve(response)
        })
      return true
    }
    return reached.promise
  }
  // Nothing compresses it.
  const noise = (megabytes: number) => {
    const bytes = Buffer.alloc(megabytes << 20)
    for (let at = 0, value = 1; at < bytes.length; at += 4) {
      value = (Math.imul(value, 1_664_525) + 1_013_904_223) | 0
      bytes.writeInt32LE(value, at)
    }
    return bytes
  }

  test('ten environments at once, one download; and the runner tells what that takes', async () => {
    const { layers, digest, reference } = await push('team/crowd:1')
    const names = Array.from({ length: 10 }, (_, at) => `crowd-${at}`)
    const made = await Promise.all(names.map(name => create(name, '--image', reference)))
    expect(made.map(({ code, stderr }) => (code === 0 ? '' : stderr)).join('')).toBe('')
    const fetched = registry.asked().filter(line => /^GET .*\/team\/crowd\/blobs\//.test(line))
    for (const { digest: layer } of layers)
      expect(
        fetched.filter(line => line.endsWith(layer)),
        layer,
      ).toHaveLength(1)
    const runner = await stack.until('Runner', await runnerName(), found =>
      Boolean(
        found?.status.storage?.images.largest.some(image => image.digest === digest && image.users === 10),
      ),
    )
    const { storage } = runner!.status
    expect(storage!.disks.count).toBe(10)
    expect(storage!.images.largest.find(image => image.digest === digest)).toMatchObject({
      references: [reference],
      size: expect.stringMatching(/^[1-9]\d*Mi$/),
    })
    expect(Number.parseInt(storage!.free, 10)).toBeGreaterThan(0)
    expect(await stack.ok('get runners -o wide')).toMatch(/free/i)
    expect(await stack.ok(`explain runner/${await runnerName()}`)).toMatch(
      /Mi are free; 10 disks take \d+Mi, 0 snapshots/,
    )
  })

  test('while it is fetched the status says how far it is, and deleting it ends that', async () => {
    const { layers, digest } = await push('team/slow:1', [{ name: 'noise', content: noise(12) }])
    const reached = holdBack(layers[1]!.digest, 8 << 20)
    const creating = stack.open([
      'env',
      'create',
      '--empty',
      '--name',
      'slow',
      '--image',
      `${proxy.host}/team/slow:1`,
    ])
    await reached
    const isFetching = (message = '') => /^fetching .*\/team\/slow:1: [5-9] MB$/.test(message)
    const found = await stack.until('Environment', 'slow', environment =>
      isFetching(environment?.status.stages.find(({ name }) => name === 'image')?.message),
    )
    const condition = findCondition(found!.status.conditions, 'ImageReady')
    expect(condition).toMatchObject({ status: 'Unknown', reason: 'Fetching' })
    expect(isFetching(condition?.message)).toBe(true)
    expect(await stack.ok('explain environment/slow')).toMatch(/fetching .*: [5-9] MB/)
    // At rest: what does not move is not told again and again.
    const { resourceVersion } = (await stack.get('Environment', 'slow')).metadata
    expect(toolsAtWork()).toHaveLength(1)
    expect((await stack.get('Environment', 'slow')).metadata.resourceVersion).toBe(resourceVersion)
    await stack.ok('env delete slow')
    await creating.inTime()
    expect(toolsAtWork()).toEqual([])
    expect(await readdir(join(await imagesDir(), 'tmp'))).toEqual([])
    expect(await readdir(await imagesDir())).not.toContain(digest.replace(':', '-'))
  })

  test('a lock is opened with the credentials of the runner, and who has the wrong ones hears where they belong', async () => {
    const auth = join(stack.folder, 'auth.json')
    await push('team/private:1', [], locked, ['--dest-authfile', auth])
    const made = await create('private', '--image', `${locked.host}/team/private:1`)
    expect(made, made.stderr).toMatchObject({ code: 0 })
    const refused = await create('refused', '--image', `${lockedProxy.host}/team/private:1`)
    expect(refused.code).toBe(3)
    expect(refused.stderr).toMatch(/hint: .*registries\.authFile in its runner\.yaml/)
    const { status } = await stack.get('Environment', 'refused')
    const condition = findCondition(status.conditions, 'ImageReady')
    expect(condition).toMatchObject({ status: 'False', reason: 'ImageForbidden', hint: expect.any(String) })
    const everything = [
      refused.stderr,
      JSON.stringify(status),
      stack.up.said(),
      await stack.ok('logs refused'),
      await stack.ok('get events -o yaml'),
    ].join('\n')
    for (const secret of [PASSWORD, authOf(PASSWORD).auth, authOf('wrong').auth])
      expect(everything).not.toContain(secret)
  })

  test.each(['fetching', 'unpacking'] as const)(
    'kill -9 of the runner while %s: nothing stays, and it goes on',
    async when => {
      // Enough files that unpacking them can be met in the middle.
      const files = Array.from({ length: 30_000 }, (_, at) => ({
        name: `etc/f${at}`,
        content: `${when}${at}`,
      }))
      const name = `team/killed-${when}:1`
      const { layers, digest } = await push(name, files)
      const held = when === 'fetching' ? holdBack(layers[1]!.digest, 1_000) : undefined
      const creating = stack.open([
        'env',
        'create',
        '--empty',
        '--name',
        'killed',
        '--image',
        `${proxy.host}/${name}`,
      ])
      if (held !== undefined) await held
      else
        await vi.waitFor(
          async () => {
            const tmp = join(await imagesDir(), 'tmp')
            const [folder] = (await readdir(tmp)).filter(each => each.startsWith(digest.replace(':', '-')))
            expect(await readdir(join(tmp, folder!, 'rootfs', 'etc'))).not.toEqual([])
          },
          { timeout: 40_000, interval: 5 },
        )
      expect(toolsAtWork()).toHaveLength(1)
      await kill(stack, 'everything')
      await vi.waitFor(() => expect(toolsAtWork()).toEqual([]), { timeout: 10_000, interval: 10 })
      await creating.end('SIGKILL')
      proxy.intercept = undefined
      await stack.start()
      const running = await stack.until('Environment', 'killed', found => found?.status.phase === 'Running')
      expect(running?.status.image?.digest).toBe(digest)
      expect(await readdir(join(await imagesDir(), 'tmp'))).toEqual([])
      expect(await readdir(join(await folderOf(digest), 'rootfs', 'etc'))).toHaveLength(30_002)
    },
  )

  test('images that nobody needs go after their time, and an event says so; those of stopped environments stay', async () => {
    const [used, unused] = [await push('team/used:1'), await push('team/unused:1')]
    for (const { reference } of [used, unused]) {
      const made = await create('e', '--image', reference)
      expect(made, made.stderr).toMatchObject({ code: 0 })
      if (reference === unused.reference) await stack.ok('env delete e')
      else {
        await stack.ok('env stop e')
        await stack.ok(['env', 'create', '--empty', '--name', 'keeper', '--image', reference])
        await stack.ok('env stop keeper')
        await stack.ok('env delete e')
      }
    }
    const past = new Date(systemClock.now() - 8 * 86_400_000)
    for (const { digest } of [used, unused]) await utimes(await folderOf(digest), past, past)
    await stack.up.end()
    await stack.start()
    await stack.until('Runner', await runnerName(), found => {
      const kept = found?.status.storage?.images.largest.map(({ digest }) => digest) ?? []
      return kept.includes(used.digest) && !kept.includes(unused.digest)
    })
    expect(await readdir(await imagesDir())).not.toContain(unused.digest.replace(':', '-'))
    await vi.waitFor(
      async () =>
        expect(await stack.ok('get events')).toMatch(/ImagesRemoved.*not used for 7 days: .*team\/unused:1/),
      { timeout: 20_000, interval: 200 },
    )
    await stack.ok('env start keeper')
    expect(await stack.ok('exec keeper -- tiny --version')).toContain('tini')
  })
})
