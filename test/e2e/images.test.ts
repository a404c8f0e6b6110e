// Images from registries and archives, and environments that cannot be made: what is said, with which exit code.

import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { findProcess, processesOf } from '../support/processes.ts'
import { runProgram } from '../support/program.ts'
import { startRegistry, type TestRegistry } from '../support/registry.ts'
import { lacking, titled } from '../support/requirements.ts'
import { openStack, type Stack, testClass } from '../support/stack.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['skopeo', 'umoci', 'docker-registry'] })

describe.skipIf(reason !== undefined)(titled('images', reason), () => {
  let stack: Stack
  let registry: TestRegistry | undefined
  let layout: string
  let digest: string

  beforeAll(async () => {
    const runner = async (folder: string) => {
      registry = await startRegistry(folder)
      return { registries: { insecure: [registry.host] } }
    }
    stack = await openStack({ ownImages: true, runner })
    layout = join(stack.folder, 'tiny')
    digest = await writeLayout(layout, {
      layers: [
        [
          { name: 'etc', type: 'directory' },
          { name: 'etc/passwd', content: 'root:x:0:0::/:/bin/tiny\nada:x:1000:1000::/home:/bin/tiny\n' },
          { name: 'bin', type: 'directory' },
        ],
        // The one static program that every host of environments has.
        [{ name: 'bin/tiny', content: readFileSync('/usr/bin/catatonit'), mode: 0o755 }],
      ],
      config: { Env: ['PATH=/bin'], User: 'ada', WorkingDir: '/' },
    })
    await registry!.push(`oci:${layout}`, 'team/tiny:1')
    await stack.ok('apply -f -', { stdin: testClass('small', `${registry!.host}/team/tiny:1`) })
  })
  afterAll(async () => {
    await registry?.stop()
    await stack?.close()
  })
  afterEach(async () => {
    await stack.bothy('env delete e')
  })

  const create = (...options: string[]) =>
    stack.bothy(['env', 'create', '--empty', '--name', 'e', ...options])
  const imageStage = async () =>
    (await stack.get('Environment', 'e')).status.stages.find(({ name }) => name === 'image')

  test('an image is fetched from a registry once, and found from then on', async () => {
    const first = await create('--image', `${registry!.host}/team/tiny:1`)
    expect(first, first.stderr).toMatchObject({ code: 0 })
    expect((await stack.get('Environment', 'e')).status.image).toEqual({
      reference: `${registry!.host}/team/tiny:1`,
      digest,
    })
    expect(await stack.ok('exec e -- tiny --version')).toContain('tini')
    expect(await stack.ok('logs e')).toContain(`image: fetching ${registry!.host}/team/tiny:1`)
    expect((await imageStage())?.ended).toBeDefined()
    await stack.ok('env delete e')
    // The same by its digest.
    const again = await create('--image', `${registry!.host}/team/tiny@${digest}`)
    expect(again, again.stderr).toMatchObject({ code: 0 })
    expect(await stack.ok('logs e')).not.toContain('image: ')
  })

  test('an archive in the folder of the runner is an image, too', async () => {
    const archives = join(stack.dataDir, 'archives')
    await mkdir(archives, { recursive: true })
    const target = `oci-archive:${join(archives, 'tiny.tar')}`
    await runProgram(['skopeo', '--insecure-policy', 'copy', `oci:${layout}`, target])
    const created = await create('--image', 'oci-archive:tiny.tar')
    expect(created, created.stderr).toMatchObject({ code: 0 })
    expect(await stack.ok('exec e -- tiny --version')).toContain('tini')
  })

  test.each([
    ['an unknown tag', () => `${registry!.host}/team/tiny:2`, 4],
    ['an unknown repository', () => `${registry!.host}/team/none`, 4],
    ['an unknown archive', () => 'oci-archive:none.tar', 4],
    ['an unknown registry', () => 'no-such-host.invalid/x:1', 8],
    ['no registry at all', () => '127.0.0.1:1/x:1', 8],
  ])('%s: a clear error, a condition, nothing left', async (_what, image, code) => {
    const created = await create('--image', image())
    expect(created.code).toBe(code)
    expect(created.stderr).toContain(image())
    expect(created.stderr).toMatch(/^ {2}hint: ./m)
    const { status } = await stack.get('Environment', 'e')
    expect(status.phase).toBe('Failed')
    const condition = status.conditions.find(({ type }) => type === 'ImageReady')
    expect(condition).toMatchObject({ status: 'False', message: expect.stringContaining(image()) })
    await stack.ok('env delete e')
  })

  test('an image that starts an init system gets it as its first process, at every start', async () => {
    const machine = join(stack.folder, 'machine')
    const catatonit = { content: readFileSync('/usr/bin/catatonit'), mode: 0o755 }
    const folders = ['etc', 'bin', 'sbin'].map(name => ({ name, type: 'directory' as const }))
    await writeLayout(machine, {
      layers: [[...folders, { name: 'bin/tiny', ...catatonit }, { name: 'sbin/init', ...catatonit }]],
      // It waits for signals, and does nothing else.
      config: { Env: ['PATH=/bin'], Cmd: ['/sbin/init', '-P'] },
    })
    await registry!.push(`oci:${machine}`, 'team/machine:1')
    const created = await create('--image', `${registry!.host}/team/machine:1`)
    expect(created, created.stderr).toMatchObject({ code: 0 })
    const { uid } = (await stack.get('Environment', 'e')).metadata
    const init = () => findProcess('/sbin/init', '-P')
    expect(await processesOf(uid)).toContain(await init())
    await stack.ok('env stop e')
    expect(await init()).toBeUndefined()
    await stack.ok('env start e')
    expect(await processesOf(uid)).toContain(await init())
  })

  test('a registry that has gone takes no image along that is here', async () => {
    await registry!.stop()
    registry = undefined
    const created = await create()
    expect(created, created.stderr).toMatchObject({ code: 0 })
    expect(await stack.ok('exec e -- tiny --version')).toContain('tini')
  })
})
