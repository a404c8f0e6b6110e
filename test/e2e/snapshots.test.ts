// Forks and snapshots, as people make them.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { testImage } from '../support/image.ts'
import { titled } from '../support/requirements.ts'
import { openStack, type Stack, testClass } from '../support/stack.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('forks and snapshots', why), () => {
  let stack: Stack
  const inside = (name: string, script: string) => stack.ok(['exec', name, '--', 'sh', '-c', script])
  const merge = async (name: string, spec: object) => {
    const manifest = { apiVersion: 'bothy.dev/v1alpha1', kind: 'Environment', metadata: { name }, spec }
    return stack.bothy('apply -f -', { stdin: JSON.stringify(manifest) })
  }

  beforeAll(async () => {
    stack = await openStack()
    await stack.ok('env create --name parent')
    await inside('parent', 'echo one > /workspaces/file; echo tool > /usr/local/bin/tool')
  }, 300_000)
  afterAll(() => stack?.close())
  afterEach(async () => {
    await stack.bothy('env delete child other')
    await stack.bothy('snapshot delete kept')
  })

  const look = 'cat /workspaces/file /usr/local/bin/tool'

  test('a running environment is forked, and both go on', async () => {
    const said = await stack.ok('env fork parent --name child')
    expect(said).toMatch(/^child is running after/)
    await inside('child', 'echo two > /workspaces/file')
    expect([await inside('parent', look), await inside('child', look)]).toEqual(['one\ntool', 'two\ntool'])
    const { spec, status } = await stack.get('Environment', 'child')
    expect(spec).toMatchObject({ class: 'small', content: { environment: { name: 'parent' } } })
    expect(status.conditions.find(each => each.type === 'ContentReady')).toMatchObject({ reason: 'Copied' })
    expect(status.image).toEqual((await stack.get('Environment', 'parent')).status.image)
    // What it began with is never made again.
    await stack.ok('env stop child')
    await stack.ok('env start child')
    expect(await inside('child', look)).toBe('two\ntool')
  })

  test('a stopped environment is forked, several times at once', async () => {
    await stack.ok('env stop parent')
    await Promise.all(['child', 'other'].map(name => stack.ok(['env', 'fork', 'parent', '--name', name])))
    for (const name of ['child', 'other']) expect(await inside(name, look)).toBe('one\ntool')
    expect((await stack.get('Environment', 'parent')).status.phase).toBe('Stopped')
    await stack.ok('env start parent')
    expect(await inside('parent', look)).toBe('one\ntool')
  })

  test('a snapshot outlives its environment, and others are made of it', async () => {
    await stack.ok('env fork parent --name child')
    expect(await stack.ok('snapshot create child --name kept')).toMatch(/^kept is kept after/)
    await inside('child', 'echo two > /workspaces/file')
    await stack.ok('env delete child')
    const { status, spec } = await stack.get('Snapshot', 'kept')
    expect(status).toMatchObject({ phase: 'Ready', environment: { epoch: 1 }, size: '2Gi' })
    expect(spec.runner).toBeDefined()
    expect(await stack.ok('snapshot list')).toMatch(/^NAME +PHASE +ENVIRONMENT[\s\S]*\nkept +Ready +child/)
    await stack.ok('env create --snapshot kept --name other')
    await stack.ok('snapshot delete kept')
    expect(await inside('other', look)).toBe('one\ntool')
    expect(await readdir(join(stack.dataDir, 'host', 'pool', 'snapshots'))).toEqual([])
  })

  test.each([
    ['a fork of nothing', 'env fork nobody', 4, /'nobody'|nobody/],
    ['a snapshot of nothing', 'snapshot create nobody', 4, /nobody/],
    ['an environment of no snapshot', 'env create --snapshot nothing', 4, /nothing/],
    ['two sources', 'env create . --snapshot kept', 2, /exclude each other/],
  ])('%s is refused', async (_, line, code, message) => {
    const refused = await stack.bothy(line)
    expect(refused.code).toBe(code)
    expect(refused.stderr).toMatch(message)
  })

  test('an image of its own is refused: the disk lies on top of the one that its source has', async () => {
    const refused = await merge('child', { content: { environment: { name: 'parent' } }, image: 'alpine:3' })
    expect(refused.stderr).toMatch(/spec\.image.*must be absent/)
  })

  test('what was declared before its source waits for it', async () => {
    await stack.ok(['apply', '-f', '-'], {
      stdin: JSON.stringify({
        apiVersion: 'bothy.dev/v1alpha1',
        kind: 'Environment',
        metadata: { name: 'other' },
        spec: { content: { snapshot: { name: 'kept' } } },
      }),
    })
    await stack.until(
      'Environment',
      'other',
      found => found?.status.conditions.some(each => each.reason === 'SourceNotFound') === true,
    )
    await stack.ok('snapshot create parent --name kept')
    await stack.until('Environment', 'other', found => found?.status.phase === 'Running')
    expect(await inside('other', look)).toBe('one\ntool')
  })

  test('a disk is made larger, and never smaller', async () => {
    await stack.ok('env fork parent --name child --disk 30Gi')
    const room = async () =>
      Number(await inside('child', "df -Pk /workspaces | awk 'END { print $2 }'")) / 2 ** 20
    expect(await room()).toBeGreaterThan(28)
    const content = { environment: { name: 'parent' } }
    expect((await merge('child', { content, disk: '25Gi' })).stderr).toMatch(/cannot become smaller/)
    expect((await merge('child', { content, disk: '40Gi' })).code).toBe(0)
    const larger = await stack.until('Environment', 'child', found => found?.status.disk?.size === '40Gi')
    // Where nobody may resize what is mounted, it is said, and done by the next start.
    const later = larger?.status.conditions.find(each => each.type === 'DiskReady' && each.status === 'False')
    if (later !== undefined) {
      expect(later).toMatchObject({ reason: 'DiskGrowsLater', hint: expect.stringContaining('start') })
      await stack.ok('env stop child')
      await stack.ok('env start child')
    }
    expect(await room()).toBeGreaterThan(38)
    expect(await inside('child', look)).toBe('one\ntool')
  })

  test('a class whose disks are to be larger makes those that are there larger at their next start', async () => {
    const image = (await testImage()).reference
    const roomy = (disk: string) => stack.ok('apply -f -', { stdin: testClass('roomy', image, { disk }) })
    const room = async () => Number(await inside('child', "df -Pm /workspaces | awk 'END { print $2 }'"))
    await roomy('1Gi')
    await stack.ok('env create --class roomy --name child')
    await inside('child', 'echo kept > /workspaces/file')
    const before = await room()
    expect(before).toBeLessThan(1024)
    await roomy('3Gi')
    await stack.ok('env stop child')
    await stack.ok('env start child')
    expect(await room()).toBeGreaterThan(before + 1900)
    expect(await inside('child', 'cat /workspaces/file')).toBe('kept')
    expect((await stack.get('Environment', 'child')).status.disk).toEqual({ size: '3Gi' })
    // What a class takes back, nobody loses.
    await roomy('1Gi')
    await stack.ok('env stop child')
    await stack.ok('env start child')
    expect(await room()).toBeGreaterThan(before + 1900)
  })
})
