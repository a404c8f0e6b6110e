import { lstat, mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  faultOf,
  hello,
  type ImageBench,
  openImageBench,
  whyNoImages,
} from '../../../test/support/image-bench.ts'
import type { TarEntry } from '../../../test/support/oci-layout.ts'
import { titled } from '../../../test/support/requirements.ts'
import type { Fault } from '../../lib/fault.ts'

const why = whyNoImages()

describe.skipIf(why)(titled('image store, keeping a hostile layer inside of its root', why), () => {
  let bench: ImageBench
  let serial = 0
  beforeAll(async () => {
    bench = await openImageBench()
  })
  afterAll(() => bench?.close())

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
    const { reference } = await bench.push(name, { layers: [entries] })
    const { ensure, dir } = bench.open()
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
    const { reference } = await bench.push('team/devices:1', {
      layers: [
        [
          { name: 'disk', type: 'character', device: [1, 1], mode: 0o666 },
          { name: 'kept', content: '' },
        ],
      ],
    })
    const image = await bench.open().ensure(reference)
    expect(await readdir(image.layers[0]!)).toEqual(['kept'])
  })

  test('with more files than allowed, of which nothing is left', async () => {
    const files = Array.from({ length: 3_000 }, (_, at) => ({ name: `f${at}` }))
    const { reference, digest } = await bench.push('team/many:1', { layers: [files] })
    const { ensure, dir } = bench.open({ maxFiles: 2_000 })
    const fault = await ensure(reference).catch((error: Fault) => error)
    expect(fault).toMatchObject({ code: 'image-too-large', message: expect.stringContaining('more files') })
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    expect(await readdir(dir)).not.toContain(digest.replace(':', '-'))
    // As many as are allowed are unpacked, of course.
    const image = await bench.open({ maxFiles: 3_100 }).ensure(reference)
    expect(await readdir(image.layers[0]!)).toHaveLength(3_000)
  })

  test('of zstd that expands without end, or is none', async () => {
    const zeros = Array.from({ length: 4 }, (_, at) => ({
      name: `zeros-${at}`,
      content: Buffer.alloc(32 << 20),
    }))
    const bomb = await bench.layout({ layers: [zeros], compression: 'zstd' })
    await bench.registry.push(`oci:${bomb.path}`, 'team/zstd-bomb:1')
    const { ensure, dir } = bench.open({ maxBytes: 16 << 20 })
    expect((await faultOf(ensure(`${bench.registry.host}/team/zstd-bomb:1`))).code).toBe('image-too-large')
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
    const made = await bench.layout({ ...hello, mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd' })
    await bench.registry.push(`oci:${made.path}`, 'team/zstd-none:1')
    const fault = await faultOf(bench.open().ensure(`${bench.registry.host}/team/zstd-none:1`))
    expect(fault).toEqual({ reason: 'invalid', code: 'image-malformed', hinted: true })
  })

  test('of zstd that expands beyond the room on the host, which is not taken for it', async () => {
    const zeros = [{ name: 'zeros', content: Buffer.alloc(64 << 20) }]
    const bomb = await bench.layout({ layers: [zeros], compression: 'zstd' })
    await bench.registry.push(`oci:${bomb.path}`, 'team/zstd-room:1')
    // What is left stays the same, as if it were looked at only before and after.
    const { ensure, dir } = bench.open({ room: async () => ({ freeBytes: 40 << 20, lowBytes: 20 << 20 }) })
    const fault = await faultOf(ensure(`${bench.registry.host}/team/zstd-room:1`))
    expect(fault).toEqual({ reason: 'exhausted', code: 'image-no-room', hinted: true })
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
  })

  test('with names that are none, or longer than any', async () => {
    const long = 'n'.repeat(255)
    const hostile: [string, readonly TarEntry[]][] = [
      ['longer than a file system takes', [{ name: `${long}x`, content: 'x' }]],
      ['a path beyond the kernel’s', [{ name: `${'d/'.repeat(3_000)}x`, content: 'x' }]],
    ]
    for (const [what, entries] of hostile) {
      const { reference } = await bench.push(`team/long-${++serial}:1`, { layers: [entries] })
      const { ensure, dir } = bench.open()
      expect([what, await faultOf(ensure(reference))]).toEqual([
        what,
        { reason: 'invalid', code: 'image-malformed', hinted: true },
      ])
      expect(await readdir(join(dir, 'tmp'))).toEqual([])
    }
    const { reference } = await bench.push('team/longest:1', {
      layers: [
        [
          { name: long, content: 'x' },
          { name: 'a\nb\u001b[2J', content: 'y' },
        ],
      ],
    })
    const image = await bench.open().ensure(reference)
    expect(await readdir(image.layers[0]!)).toEqual(['a\nb\u001b[2J', long])
  })

  test('with whiteouts of what is not a name', async () => {
    const below = [
      { name: 'kept', content: '1' },
      { name: 'gone', content: '2' },
      { name: 'dir', type: 'directory' as const },
      { name: 'dir/old', content: '3' },
    ]
    for (const name of [
      '.wh.',
      '.wh..',
      '.wh...',
      'dir/.wh...',
      '.wh.../.wh.kept',
      '.wh..wh.',
      '.wh..wh.aufs',
    ]) {
      const { reference } = await bench.push(`team/whiteout-${++serial}:1`, {
        layers: [below, [{ name, content: '' }]],
      })
      const { ensure, dir } = bench.open()
      await mkdir(join(dir, 'witness'), { recursive: true })
      const outcome = await ensure(reference).catch((fault: Fault) => fault.reason)
      if (typeof outcome === 'string') expect([name, outcome]).toEqual([name, 'invalid'])
      else expect(await readdir(outcome.layers[0]!)).toEqual(expect.arrayContaining(['gone', 'kept']))
      expect(await readdir(dir)).toContain('witness')
    }
    // Right ones do what they are for.
    const { reference } = await bench.push('team/whiteouts:1', {
      layers: [
        below,
        [
          { name: '.wh.gone', content: '' },
          { name: 'dir/.wh..wh..opq', content: '' },
          { name: 'dir/new', content: '4' },
        ],
      ],
    })
    const { layers } = await bench.open().ensure(reference)
    expect(await readdir(layers[0]!)).toEqual(['dir', 'kept'])
    expect(await readdir(join(layers[0]!, 'dir'))).toEqual(['new'])
  })

  test('set-uid bits are kept: they are of users who exist inside only', async () => {
    const { reference } = await bench.push('team/setuid:1', {
      layers: [
        [
          { name: 'su', content: 'x', mode: 0o4755 },
          { name: 'tmp', type: 'directory', mode: 0o1777 },
        ],
      ],
    })
    const { layers } = await bench.open().ensure(reference)
    const modeOf = async (name: string) => (await lstat(join(layers[0]!, name))).mode & 0o7777
    expect([await modeOf('su'), await modeOf('tmp')]).toEqual([0o4755, 0o1777])
    // And nobody of the host gets at them.
    expect((await lstat(join(layers[0]!, '..'))).mode & 0o777).toBe(0o700)
  })

  test.each<[string, Record<string, unknown>]>([
    ['a user that is an option', { User: '--root' }],
    ['a user of two lines', { User: 'root\nada' }],
    ['a user that is no text', { User: { name: 'root' } }],
    ['an environment that is none', { Env: 'PATH=/bin' }],
    ['an environment beyond all measure', { Env: Array.from({ length: 1_001 }, (_, at) => `A${at}=1`) }],
    ['a value beyond all measure', { Env: [`A=${'x'.repeat(70_000)}`] }],
    ['a value that ends in the middle', { Env: ['A=1\0B=2'] }],
    ['a directory that ends in the middle', { WorkingDir: '/srv\0/etc' }],
  ])('whose settings are refused: %s', async (_, config) => {
    const { reference } = await bench.push(`team/refused-${++serial}:1`, { ...hello, config })
    expect(await faultOf(bench.open().ensure(reference))).toEqual({
      reason: 'invalid',
      code: 'image-metadata',
      hinted: true,
    })
  })

  test('whose settings lead astray', async () => {
    const { reference } = await bench.push('team/settings:1', {
      layers: [[{ name: 'x' }]],
      config: { Env: ['GOOD=1', 'no assignment', '=none'], WorkingDir: '/srv/../proc/self/fd/7', User: '' },
    })
    const { env, user, workingDir } = await bench.open().ensure(reference)
    expect({ env, user, workingDir }).toEqual({ env: ['GOOD=1'], user: 'root', workingDir: '/' })
  })
})
