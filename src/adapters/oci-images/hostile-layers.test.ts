import { lstat, mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ImageBench, openImageBench, whyNoImages } from '../../../test/support/image-bench.ts'
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

  test('whose settings lead astray', async () => {
    const { reference } = await bench.push('team/settings:1', {
      layers: [[{ name: 'x' }]],
      config: { Env: ['GOOD=1', 'no assignment', '=none'], WorkingDir: '/srv/../proc/self/fd/7', User: '' },
    })
    const { env, user, workingDir } = await bench.open().ensure(reference)
    expect({ env, user, workingDir }).toEqual({ env: ['GOOD=1'], user: 'root', workingDir: '/' })
  })
})
