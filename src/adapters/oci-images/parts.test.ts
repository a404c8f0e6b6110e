// The small parts of the image store, each by itself.
import { mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lacking, titled } from '../../../test/support/requirements.ts'
import { bootstrapProgress } from './bootstrap-progress.ts'
import { createCeiling, folderBytes, inWords, watching } from './growth.ts'
import { subtractCertificates } from './host-certificates.ts'
import { parseConfig, parseIndex } from './image-config.ts'
import { acquireLock, tryLock } from './lock.ts'
import { splitReference } from './registry-reference.ts'
import { Sharing } from './share.ts'

const never = new AbortController().signal
const limits = (maxBytes: number) => ({ maxBytes, maxFiles: 1000, requireRoom: async () => 0 })
const digest = `sha256:${'a'.repeat(64)}`
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bothy-image-parts-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test.each([
  ['alpine', 'docker.io', 'library/alpine', 'latest', undefined],
  ['team/app:1', 'docker.io', 'team/app', '1', undefined],
  ['localhost/app', 'localhost', 'app', 'latest', undefined],
  ['r.example.com:5000/team/app:1.2', 'r.example.com:5000', 'team/app', '1.2', undefined],
  [`r.example.com/app:1@${digest}`, 'r.example.com', 'app', '1', digest],
  [`alpine@${digest}`, 'docker.io', 'library/alpine', 'latest', digest],
])('the reference %s is taken apart', (text, registry, repository, tag, pinned) => {
  expect(splitReference(text)).toEqual({ text, registry, repository, tag, digest: pinned })
})

test('a bootstrap tells what it does', () => {
  const progress = bootstrapProgress()
  const lines = [
    'I: running apt-get update...',
    'Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]',
    '0 upgraded, 42 newly installed, 0 to remove and 0 not upgraded.',
    'Get:12 http://deb.debian.org/debian bookworm/main amd64 git amd64 1:2.39.5-0 [7000 kB]',
    'Selecting previously unselected package libuuid1:amd64.',
    'Unpacking libcurl4:amd64 (7.88.1-10) ...',
    'Setting up git (1:2.39.5-0) ...',
    'Setting up less (590-2) ...',
    'Updating certificates in /etc/ssl/certs...',
  ]
  expect(lines.map(progress).filter(said => said !== undefined)).toEqual([
    'reading package lists',
    'downloading git (package 1)',
    'unpacking libcurl4 (package 1)',
    'setting up git (package 1)',
    'setting up less (package 2)',
    'adding certificates',
  ])
})

test('certificates that only the host has are found, each once, whatever their line lengths', () => {
  const pem = (body: string) => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`
  const own = subtractCertificates(
    pem('QUFB\nQkJC') + pem('T1dO') + 'words\n' + pem('T1\r\ndO'),
    pem('QUFBQkJC'),
  )
  expect(own.map(({ pem: text }) => text)).toEqual([pem('T1dO')])
  expect(own[0]?.name).toMatch(/^host-[0-9a-f]{16}\.crt$/)
})

describe("an image's metadata", () => {
  const config = (more: object) => JSON.stringify({ rootfs: { diff_ids: [digest] }, ...more })
  test.each([
    ['no settings at all', {}, { env: [], user: 'root', workingDir: '/' }],
    [
      'null settings',
      { config: { Env: null, User: null, WorkingDir: null } },
      { env: [], user: 'root', workingDir: '/' },
    ],
    [
      'a relative folder',
      { config: { WorkingDir: 'a/../b/./' } },
      { env: [], user: 'root', workingDir: '/b' },
    ],
    [
      'a folder of the kernel',
      { config: { WorkingDir: '//proc/self' } },
      { env: [], user: 'root', workingDir: '/' },
    ],
    ['a user and group', { config: { User: 'me:staff' } }, { env: [], user: 'me:staff', workingDir: '/' }],
    [
      'an init system',
      { config: { Entrypoint: ['/usr/lib/systemd/systemd'], Cmd: ['--show-status=no'] } },
      { env: [], user: 'root', workingDir: '/', init: ['/usr/lib/systemd/systemd', '--show-status=no'] },
    ],
    [
      'another by its name',
      { config: { Cmd: ['/sbin/init'] } },
      { env: [], user: 'root', workingDir: '/', init: ['/sbin/init'] },
    ],
    [
      'a program that is none',
      { config: { Cmd: ['/usr/bin/init-db', '/sbin/init'] } },
      { env: [], user: 'root', workingDir: '/' },
    ],
  ])('%s', (_, more, expected) => {
    expect(parseConfig(config(more), 'x')).toEqual({ ...expected, diffIds: [digest] })
  })

  test.each([
    'nonsense',
    '{}',
    config({ config: { User: 'a b' } }),
    config({ config: { User: '--privileged' } }),
    config({ config: { Env: ['A=\u0000'] } }),
  ])('%s is refused', text => {
    expect(() => parseConfig(text, 'x')).toThrow(expect.objectContaining({ code: 'image-metadata' }))
  })

  test('a digest cannot be a path, and one layout is one image', () => {
    const index = (...digests: string[]) =>
      JSON.stringify({ manifests: digests.map(each => ({ mediaType: 'm', digest: each, size: 1 })) })
    expect(parseIndex(index(digest), 'x').digest).toBe(digest)
    expect(() => parseIndex(index('sha256:../../etc/passwd'), 'x')).toThrow(/metadata/)
    expect(() => parseIndex(index(digest, digest), 'x')).toThrow(/holds 2 images/)
  })
})

describe('growth', () => {
  test('writing beyond the ceiling is stopped while it goes on', async () => {
    const path = join(folder, 'grows')
    const ceiling = createCeiling(folder, limits(32 << 20))
    const chunk = Buffer.alloc(1 << 20, 1)
    // Never ends by itself.
    const work = async (signal: AbortSignal) => {
      const file = await open(path, 'w')
      try {
        for (;;) {
          signal.throwIfAborted()
          await file.write(chunk)
          await file.datasync()
        }
      } finally {
        await file.close()
      }
    }
    const outcome = watching(20, () => ceiling.check(never), never, work)
    await expect(outcome).rejects.toMatchObject({ reason: 'invalid', code: 'image-too-large' })
    expect((await stat(path)).size).toBeGreaterThan(32 << 20)
    await rm(path)
  })

  test('work within the ceiling is left alone, and an abort is passed on', async () => {
    await writeFile(join(folder, 'small'), Buffer.alloc(1000))
    expect(await folderBytes(folder)).toBe(1000)
    const ceiling = createCeiling(folder, limits(1 << 20))
    expect(
      await watching(
        1,
        () => ceiling.check(never),
        never,
        async () => 'done',
      ),
    ).toBe('done')
    await ceiling.final(never)
    await rm(join(folder, 'small'))
    const abort = new AbortController()
    const waiting = watching(
      1,
      async () => undefined,
      abort.signal,
      async signal => {
        abort.abort()
        signal.throwIfAborted()
      },
    )
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
  })

  test.each([
    [999, '1 kB'],
    [12_345_678, '12 MB'],
    [1_234_567_890, '1.2 GB'],
  ])('%i bytes are %s', (bytes, words) => {
    expect(inWords(bytes)).toBe(words)
  })
})

const whyNoLock = lacking({ programs: ['flock'] })
describe.skipIf(whyNoLock)(titled('a lock', whyNoLock), () => {
  test('is held by one, waited for by others, and free again', async () => {
    const file = join(folder, 'lock')
    const first = await acquireLock(file, () => expect.unreachable(), never)
    expect(await tryLock(file, never)).toBeUndefined()
    let waited: (() => void) | undefined
    const waits = new Promise<void>(resolve => {
      waited = resolve
    })
    const second = acquireLock(file, () => waited?.(), never)
    await waits
    await first.release()
    await (await second).release()
    await (await tryLock(file, never))?.release()
  })

  test('is not waited for any longer after an abort', async () => {
    const file = join(folder, 'lock')
    const first = await acquireLock(file, () => expect.unreachable(), never)
    const abort = new AbortController()
    await expect(acquireLock(file, () => abort.abort(), abort.signal)).rejects.toMatchObject({
      name: 'AbortError',
    })
    await first.release()
    await (await tryLock(file, never))?.release()
  })
})

describe('shared work', () => {
  test('runs once; a failure reaches everybody, and the next attempt runs again', async () => {
    const sharing = new Sharing<string>()
    let runs = 0
    const fails = () =>
      sharing.run(
        'k',
        () => undefined,
        never,
        async () => {
          runs++
          throw new Error('broken')
        },
      )
    const seen = await Promise.allSettled([fails(), fails(), fails()])
    expect(seen.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(runs).toBe(1)
    expect(
      await sharing.run(
        'k',
        () => undefined,
        never,
        async () => 'fine',
      ),
    ).toBe('fine')
  })

  test('late listeners hear where it stands', async () => {
    const sharing = new Sharing<string>()
    const gate = Promise.withResolvers<string>()
    const said: string[] = []
    const first = sharing.run(
      'k',
      message => said.push(`first ${message}`),
      never,
      async tell => {
        tell('half')
        return gate.promise
      },
    )
    await Promise.resolve()
    const second = sharing.run(
      'k',
      message => said.push(`second ${message}`),
      never,
      async () => 'never run',
    )
    gate.resolve('done')
    expect(await Promise.all([first, second])).toEqual(['done', 'done'])
    expect(said).toEqual(['first half', 'second half'])
  })

  test('ends when the last one has left, and they wait for its end', async () => {
    const sharing = new Sharing<string>()
    const aborts = [new AbortController(), new AbortController()]
    const log: string[] = []
    const work = async (_: unknown, signal: AbortSignal) => {
      await new Promise(resolve => signal.addEventListener('abort', resolve))
      log.push('cleaned up')
      throw new Error('aborted')
    }
    const [one, other] = aborts.map(abort => sharing.run('k', () => undefined, abort.signal, work))
    aborts[0]!.abort()
    await expect(one).rejects.toMatchObject({ reason: 'cancelled' })
    expect(log).toEqual([])
    aborts[1]!.abort()
    await expect(other).rejects.toMatchObject({ reason: 'cancelled' })
    expect(log).toEqual(['cleaned up'])
  })
})
