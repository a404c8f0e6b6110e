// What cannot be had: what is said, with which exit code, and that it changes nothing.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { titled } from '../support/requirements.ts'
import { openStack, type Stack, testClass } from '../support/stack.ts'

const reason = whyNoSandboxes()
const NOWHERE = testClass('nowhere', 'bootstrap:bookworm', { runner: 'no-such-runner' })

describe.skipIf(reason !== undefined)(titled('what cannot be had', reason), () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await openStack()
  })
  afterAll(() => stack?.close())
  afterEach(async () => {
    await stack.bothy('env delete e')
  })

  test('an unknown class', async () => {
    const created = await stack.bothy('env create --empty --name e --class no-such')
    expect(created.code).toBe(4)
    expect(created.stderr).toContain("'no-such'")
    expect(created.stderr).toMatch(/^ {2}hint: ./m)
    await stack.ok('env delete e')
  })

  test('a class whose runner does not exist', async () => {
    await stack.ok('apply -f -', { stdin: NOWHERE })
    const created = await stack.bothy('env create --empty --name e --class nowhere')
    expect(created.code).toBe(4)
    expect(created.stderr).toContain("'no-such-runner'")
    await stack.ok('env delete e')
  })

  test('no runner that takes any: it waits, says so, and goes on by itself', async () => {
    const cordon = (cordoned: boolean) =>
      JSON.stringify({
        ...{ apiVersion: 'bothy.dev/v1alpha1', kind: 'Runner' },
        ...{ metadata: { name: 'local' }, spec: { cordoned } },
      })
    await stack.ok('apply -f -', { stdin: cordon(true) })
    const creating = stack.open('env create --empty --name e')
    await creating.until(/cordoned/)
    expect((await stack.get('Environment', 'e')).status.phase).toBe('Pending')
    expect(await stack.ok('explain environment/e')).toContain('cordoned')
    await stack.ok('apply -f -', { stdin: cordon(false) })
    expect((await creating.result).code).toBe(0)
  })

  test('a name that is taken, or is none', async () => {
    await stack.ok('env create --empty --name e')
    const again = await stack.bothy('env create --empty --name e')
    expect(again).toMatchObject({ code: 5, stderr: expect.stringContaining('bothy env delete e') })
    expect(await stack.ok('exec e -- true')).toBe('')
    const bad = await stack.bothy('env create --empty --name Bad_Name')
    expect(bad).toMatchObject({ code: 2, stderr: expect.stringContaining('metadata.name') })
  })

  const environment = (spec: unknown) =>
    JSON.stringify({ apiVersion: 'bothy.dev/v1alpha1', kind: 'Environment', metadata: { name: 'e' }, spec })

  test.each([
    ['no YAML', 'kind: [', 'standard input:1:8'],
    [
      'an unknown kind',
      'apiVersion: bothy.dev/v1alpha1\nkind: Castle\nmetadata: {name: e}\n',
      'there are Environment',
    ],
    ['an unknown field', environment({ clas: 'small' }), 'clas'],
    ['a wrong value', environment({ desired: 'Flying' }), 'spec.desired'],
    [
      'two contents at once',
      environment({ content: { empty: {}, upload: { directory: 'x' } } }),
      'spec.content',
    ],
    [
      'a repository on the host',
      environment({ content: { git: { url: 'file:///etc' } } }),
      'spec.content.git.url',
    ],
    ['a path as an archive', environment({ image: 'oci-archive:../../etc/passwd' }), 'spec.image'],
    ['nothing', '', 'no object'],
  ])('a manifest with %s', async (_what, stdin, about) => {
    const applied = await stack.bothy('apply -f -', { stdin })
    expect(applied.code).toBe(2)
    expect(applied.stderr).toContain(about)
    expect(await stack.bothy('env get e')).toMatchObject({ code: 4 })
  })

  test('a change of what cannot change', async () => {
    await stack.ok('env create --empty --name e')
    const applied = await stack.bothy('apply -f -', { stdin: environment({ image: 'alpine:3' }) })
    expect(applied.code).toBe(2)
    expect(applied.stderr).toContain('spec.image')
    expect((await stack.get('Environment', 'e')).spec.image).toBeUndefined()
  })

  test.each(['env list', 'env create --empty --name e', 'exec e -- true', 'runner token x', 'apply -f -'])(
    '%s with a wrong token',
    async line => {
      const token = `bothy_${'x'.repeat(43)}`
      const stdin = testClass('small', 'alpine')
      const { code, stdout, stderr } = await stack.bothy(line, { env: { BOTHY_TOKEN: token }, stdin })
      expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
      expect(stderr).toMatch(/^ {2}hint: ./m)
      expect(stderr).not.toContain(token)
    },
  )

  test('a server that is not there, or is another one', async () => {
    const away = await stack.bothy('env list', {
      env: { BOTHY_SERVER: 'https://127.0.0.1:1', BOTHY_TOKEN: 'bothy_x' },
    })
    expect(away.code).toBe(8)
    const { server } = await stack.context()
    const stranger = await stack.bothy('env list', {
      env: { BOTHY_SERVER: server.replace('127.0.0.1', 'localhost'), BOTHY_TOKEN: 'bothy_x' },
    })
    expect(stranger.code).not.toBe(0)
    const plain = await stack.bothy('env list', {
      env: { BOTHY_SERVER: server.replace('https', 'http'), BOTHY_TOKEN: 'bothy_x' },
    })
    expect(plain).toMatchObject({ code: 2, stderr: expect.stringContaining('https') })
  })

  test('an environment that is not there', async () => {
    for (const line of [
      'exec none -- true',
      'shell none',
      'logs none',
      'env stop none',
      'explain environment/none',
    ]) {
      const answer = await stack.bothy(line)
      expect(answer, line).toMatchObject({ code: 4, stderr: expect.stringContaining('none') })
    }
  })
})
