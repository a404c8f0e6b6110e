// Room runs out on a host that holds images which nobody needs: they go, and nothing is refused.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { testLabel } from '../support/label.ts'
import { type TarEntry, writeLayout } from '../support/oci-layout.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { lacking, titled } from '../support/requirements.ts'
import { openStack, STACKS, type Stack, testClass } from '../support/stack.ts'

const why = whyNoSandboxes() ?? lacking({ programs: ['skopeo', 'umoci', 'docker-registry'] })
const MIB = 2 ** 20

describe.skipIf(why !== undefined)(titled('images on a full host', why), () => {
  let folder: string
  let stack: Stack
  let registry: TestRegistry
  let serial = 0

  beforeAll(async () => {
    // A host of its own: a file system of 2 GiB that nobody else uses; 35 % of it are kept.
    folder = mkdtempSync(join(STACKS, `${await testLabel()}-images-`))
    chmodSync(folder, 0o755)
    const file = join(folder, 'host.ext4')
    writeFileSync(file, '')
    truncateSync(file, 2048 * MIB)
    execFileSync('mkfs.ext4', ['-q', '-F', file])
    const parent = join(folder, 'small')
    mkdirSync(parent)
    execFileSync('mount', ['-o', 'loop', file, parent])
    registry = await startRegistry(folder)
    const runner = () => ({ registries: { insecure: [registry.host] } })
    stack = await openStack({ ownImages: true, runner, parent })
  })
  afterAll(async () => {
    await stack?.close()
    await registry?.stop()
    execFileSync('umount', [join(folder, 'small')])
    rmSync(folder, { recursive: true })
  })

  const push = async (name: string, more: readonly TarEntry[] = []) => {
    const path = join(folder, `layout-${++serial}`)
    const digest = await writeLayout(path, {
      layers: [
        [
          ...['etc', 'bin'].map(each => ({ name: each, type: 'directory' as const })),
          { name: 'etc/passwd', content: 'root:x:0:0::/:/bin/tiny\n' },
          // The one static program that every host of environments has.
          { name: 'bin/tiny', content: readFileSync('/usr/bin/catatonit'), mode: 0o755 },
          { name: 'etc/which', content: name },
          ...more,
        ],
      ],
      config: { Env: ['PATH=/bin'] },
    })
    await registry.push(`oci:${path}`, name)
    return { reference: `${registry.host}/${name}`, digest }
  }
  const imagesDir = () => join(stack.dataDir, 'host', 'pool', 'images')
  const stored = async () =>
    (await readdir(imagesDir()))
      .filter(name => name.startsWith('sha256-'))
      .map(name => name.replace('-', ':'))
  const freeBytes = () => {
    const { bavail, bsize } = statfsSync(stack.dataDir)
    return bavail * bsize
  }

  test('those that nobody needs go before anything is refused, and those of stopped environments stay', async () => {
    const big = Buffer.alloc(200 * MIB)
    const used = await push('team/used:1')
    const large = await push('team/large:1', [{ name: 'big', content: big }])
    const recent = await push('team/recent:1')
    await stack.ok('apply -f -', { stdin: testClass('small', used.reference, { disk: '128Mi' }) })
    for (const [name, { reference }] of Object.entries({ used, large, recent })) {
      const made = await stack.bothy(['env', 'create', '--empty', '--name', name, '--image', reference])
      expect(made, made.stderr).toMatchObject({ code: 0 })
    }
    await stack.ok('env stop used')
    for (const name of ['large', 'recent']) await stack.ok(`env delete ${name}`)
    // A quarter of an hour is everybody's.
    const past = systemClock.now() / 1000 - 20 * 60
    for (const { digest } of [used, large])
      utimesSync(join(imagesDir(), digest.replace(':', '-')), past, past)
    expect(await stored()).toContain(large.digest)

    // What is only in memory takes no room yet, and would give none back.
    for (const at of [imagesDir(), stack.dataDir]) execFileSync('sync', ['--file-system', at])
    const filler = join(stack.dataDir, 'filler')
    execFileSync('fallocate', ['--length', String(freeBytes() - 650 * MIB), filler])
    const created = await stack.bothy(['env', 'create', '--empty', '--name', 'next'])
    expect(created, created.stderr).toMatchObject({ code: 0 })
    expect(await stored()).toEqual(expect.arrayContaining([used.digest, recent.digest]))
    expect(await stored()).not.toContain(large.digest)
    await vi.waitFor(
      async () =>
        expect(await stack.ok('get events')).toMatch(/ImagesRemoved.*to make room: .*team\/large:1/),
      { timeout: 20_000, interval: 200 },
    )

    // When there is nothing left to give, a download is refused, says why, and leaves nothing.
    rmSync(filler)
    execFileSync('fallocate', ['--length', String(freeBytes() - 400 * MIB), filler])
    const refused = await stack.bothy([
      'env',
      'create',
      '--empty',
      '--name',
      'refused',
      '--image',
      large.reference,
    ])
    expect(refused.code).toBe(7)
    expect(refused.stderr).toMatch(/(?:MB left, and keeps|MiB are kept)/)
    expect(await stored()).not.toContain(large.digest)
    expect(await readdir(join(imagesDir(), 'tmp'))).toEqual([])
    expect((await stack.get('Environment', 'next')).status.phase).toBe('Running')
    rmSync(filler)
    for (const name of ['used', 'next', 'refused']) await stack.ok(`env delete ${name}`)
  })
})
