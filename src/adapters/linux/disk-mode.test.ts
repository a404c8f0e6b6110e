import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../../../test/support/host.ts'
import { titled } from '../../../test/support/requirements.ts'
import { toFault } from '../../lib/fault.ts'
import { mustRun } from '../../lib/run-process.ts'
import { chooseMode, type DiskMode, type DiskSetting, probeLoop, readMode, writeMode } from './disk-mode.ts'
import { judgeDisks } from './health.ts'

const WORKS = { works: true } as const
const NOT = { works: false, why: 'no such device' } as const

test.each<[DiskSetting, DiskMode | undefined, typeof WORKS | typeof NOT, string]>([
  ['auto', undefined, WORKS, 'image'],
  ['auto', undefined, NOT, 'directory'],
  ['auto', 'image', WORKS, 'image'],
  ['auto', 'image', NOT, 'loop-mounts'],
  ['auto', 'directory', WORKS, 'directory'],
  ['auto', 'directory', NOT, 'directory'],
  ['image', undefined, WORKS, 'image'],
  ['image', undefined, NOT, 'loop-mounts'],
  ['image', 'directory', WORKS, 'disk-mode'],
  ['directory', undefined, WORKS, 'directory'],
  ['directory', 'image', WORKS, 'disk-mode'],
])('%s, with a pool of %s, on a host that %o: %s', (setting, made, probe, expected) => {
  const choose = () => {
    try {
      return chooseMode('/pool', setting, made, probe)
    } catch (error) {
      const { code, hint } = toFault(error)
      expect(hint).toBeDefined()
      return code
    }
  }
  expect(choose()).toBe(expected)
})

test.each<[DiskMode, DiskSetting, boolean, RegExp]>([
  ['image', 'auto', true, /^$/],
  ['directory', 'auto', false, /modprobe loop.*empty data folder/],
  ['directory', 'directory', false, /runner\.yaml/],
])('a host whose disks are of mode %s by setting %s', (mode, setting, ok, hint) => {
  const check = judgeDisks(mode, setting)
  expect(check).toMatchObject({ ok, required: false })
  expect(check.hint ?? '').toMatch(hint)
  if (!ok) expect(check.found).toMatch(/no size limit/)
})

describe('a pool', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'bothy-mode-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  test('says of which kind it is', async () => {
    expect(await readMode(dir)).toBeUndefined()
    await writeMode(dir, 'directory')
    expect(await readMode(dir)).toBe('directory')
  })

  test('from before pools said so has images', async () => {
    await mkdir(join(dir, 'environments'))
    expect(await readMode(dir)).toBe('image')
    await rm(join(dir, 'environments'), { recursive: true })
    await writeFile(join(dir, 'pool.xfs'), '')
    expect(await readMode(dir)).toBe('image')
  })
})

const why = whyNoSandboxes()
describe.skipIf(why !== undefined)(titled('a probe for loop mounts', why), () => {
  test('mounts where it can', async () => {
    expect(await probeLoop()).toEqual({ works: true })
  })

  test('says why where there is no loop-control', async () => {
    // A /dev as containers have it.
    const dev = 'mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9'
    const module = fileURLToPath(new URL('disk-mode.ts', import.meta.url))
    const program = `import(${JSON.stringify(module)}).then(async m => console.log(JSON.stringify(await m.probeLoop())))`
    const said = await mustRun([
      ...(['unshare', '--mount', 'sh', '-ec', `${dev}; exec "$0" -e "$1"`] as const),
      ...[process.execPath, program],
    ])
    expect(JSON.parse(said)).toEqual({
      works: false,
      why: 'open /dev/loop-control: No such file or directory',
    })
  })
})
