// The real kubectl, unmodified. Which version it is depends on the machine; 1.29 to 1.33 have been seen to pass.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lacking, titled } from '../../../../test/support/requirements.ts'
import { type Json, pathOf, type ServerFixture, startServer } from '../../../../test/support/server.ts'
import { type ProcessResult, runProcess } from '../../../lib/run-process.ts'

const reason = lacking({ programs: ['kubectl'] }) ?? (await tooOld())

describe.skipIf(reason !== undefined)(titled('kubectl', reason), () => {
  let server: ServerFixture
  let kubeconfig: string
  let manifest: string

  beforeAll(async () => {
    server = await startServer()
    kubeconfig = join(server.dir, 'kubeconfig')
    manifest = join(server.dir, 'manifest.yaml')
    await writeFile(kubeconfig, JSON.stringify(kubeconfigFor(server)))
    await writeFile(manifest, MANIFEST)
  })
  afterAll(() => server.close())

  const env = () => ({ PATH: process.env['PATH'], HOME: server.dir, KUBECONFIG: kubeconfig })
  const run = (...args: string[]): Promise<ProcessResult> =>
    runProcess(['kubectl', ...args], { env: env(), cwd: server.dir })
  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args)
    expect(code, `kubectl ${args.join(' ')}: ${stderr}`).toBe(0)
    return stdout
  }

  test('api-resources and explain', async () => {
    const resources = await ok('api-resources')
    expect(resources).toMatch(/environments +env,envs +bothy.dev\/v1alpha1 +true +Environment/)
    expect(await ok('explain', 'environment.spec.desired')).toContain('What the environment should be doing.')
    expect(await ok('version')).toContain('v1.33.0+bothy')
  })

  test('create, get, label, annotate, edit by patch, delete', async () => {
    expect(await ok('create', '-f', manifest)).toContain('environment.bothy.dev/otter created')
    expect(await ok('get', 'env')).toMatch(/NAME +PHASE +CLASS +RUNNER +AGE\s+otter +Pending +small/)
    expect(await ok('get', 'envs', '-o', 'wide')).toContain('EPOCH')
    expect(await ok('get', 'environment', 'otter', '-o', 'jsonpath={.spec.env.LOG_LEVEL}')).toBe('debug')
    expect(await ok('get', 'env', '-A', '-o', 'name')).toBe('environment.bothy.dev/otter\n')
    await ok('label', 'env', 'otter', 'team=a')
    expect(await ok('get', 'env', '-l', 'team in (a, b)', '-o', 'name')).toContain('otter')
    expect(await ok('get', 'env', '--field-selector', 'metadata.name!=otter', '-o', 'name')).toBe('')
    await ok('annotate', 'env', 'otter', 'example.com/note=x')
    await ok('patch', 'env', 'otter', '--type=merge', '-p', '{"spec":{"desired":"Stopped"}}')
    await ok('patch', 'env', 'otter', '--type=json', '-p', '[{"op":"remove","path":"/spec/env/LOG_LEVEL"}]')
    const object: Json = JSON.parse(await ok('get', 'env', 'otter', '-o', 'json'))
    expect(object.spec).toMatchObject({ desired: 'Stopped', env: {} })
    expect(object.metadata.annotations['bothy.dev/owner']).toBe('ada')
    expect(await ok('describe', 'env', 'otter')).toContain('Desired:  Stopped')
    expect(await ok('delete', 'env', 'otter')).toContain('deleted')
    expect((await run('get', 'env', 'otter')).stderr).toContain('NotFound')
  })

  test('edit opens the editor on what is stored and sends the difference', async () => {
    await ok('create', '-f', manifest)
    const editor = join(server.dir, 'editor')
    await writeFile(editor, '#!/bin/sh\nsed -i s/debug/trace/ "$1"\n', { mode: 0o755 })
    const edited = await runProcess(['kubectl', 'edit', 'env', 'otter'], {
      env: { ...env(), EDITOR: editor },
    })
    expect(edited.stdout + edited.stderr).toContain('environment.bothy.dev/otter edited')
    expect(await ok('get', 'env', 'otter', '-o', 'jsonpath={.spec.env.LOG_LEVEL}')).toBe('trace')
    await ok('delete', '-f', manifest)
  })

  test('apply creates, then changes nothing, then only what the manifest changes', async () => {
    expect(await ok('apply', '-f', manifest)).toContain('created')
    expect(await ok('apply', '-f', manifest)).toContain('unchanged')
    await ok('patch', 'env', 'otter', '--type=merge', '-p', '{"spec":{"desired":"Stopped"}}')
    await writeFile(manifest, MANIFEST.replace('debug', 'warn'))
    const diff = await run('diff', '-f', manifest)
    expect(diff.stdout).toContain('+    LOG_LEVEL: warn')
    expect(await ok('apply', '-f', manifest)).toContain('configured')
    const object: Json = JSON.parse(await ok('get', 'env', 'otter', '-o', 'json'))
    // `desired` is not in the manifest: apply leaves it to whoever stopped the environment.
    expect(object.spec).toMatchObject({ desired: 'Stopped', env: { LOG_LEVEL: 'warn' } })
    await ok('replace', '-f', manifest)
    await ok('delete', '-f', manifest)
    await writeFile(manifest, MANIFEST)
  })

  test('dry runs store nothing', async () => {
    expect(await ok('create', '-f', manifest, '--dry-run=server')).toContain('created (server dry run)')
    expect(await ok('get', 'env', '-o', 'name')).toBe('')
  })

  test('errors reach people: a misspelt field, a wrong value, a foreign object, another identity', async () => {
    await writeFile(manifest, MANIFEST.replace('env:', 'environ:'))
    expect((await run('apply', '-f', manifest)).stderr).toContain('unknown field "spec.environ"')
    await writeFile(manifest, MANIFEST.replace('class: small', 'class: Not Small'))
    expect((await run('apply', '-f', manifest)).stderr).toContain('spec.class')
    await writeFile(manifest, MANIFEST)
    expect((await run('delete', 'runner', 'here')).stderr).toContain('NotFound')
    const refused = await run('get', 'env', '--as', 'root')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('act as somebody else')
    expect((await run('get', 'env', '--token', 'bothy_nonsense')).stderr).toMatch(
      /Unauthorized|token is not valid/,
    )
  })

  test('get --watch shows changes as they come, and wait sees conditions and deletion', async () => {
    const child = spawn('kubectl', ['get', 'env', '--watch'], {
      env: env(),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const line = async () => String((await lines.next()).value)
    await ok('create', '-f', manifest)
    expect(await line()).toMatch(/^NAME +PHASE/)
    expect(await line()).toMatch(/^otter +Pending/)
    const ready = { type: 'Ready', status: 'True', reason: 'Up', message: 'it is up', lastTransitionTime: '' }
    const waiting = ok('wait', 'env/otter', '--for=condition=Ready', '--timeout=60s')
    const patched = await server.call('PATCH', `${pathOf('environments', 'otter')}/status`, {
      token: server.tokens.admin,
      headers: { 'content-type': 'application/merge-patch+json' },
      body: { status: { phase: 'Running', observedGeneration: 1, conditions: [ready] } },
    })
    expect(patched.body).toMatchObject({ status: { phase: 'Running' } })
    expect(await line()).toMatch(/^otter +Running/)
    expect(await waiting).toContain('condition met')
    const gone = ok('wait', 'env/otter', '--for=delete', '--timeout=60s')
    await ok('delete', 'env', 'otter')
    await gone
    child.kill()
    await once(child, 'close')
  })
})

const MANIFEST = `apiVersion: bothy.dev/v1alpha1
kind: Environment
metadata:
  name: otter
  namespace: default
spec:
  class: small
  env:
    LOG_LEVEL: debug
`

function kubeconfigFor({ url, pki, tokens }: ServerFixture): object {
  const authority = Buffer.from(pki.ca).toString('base64')
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: url(), 'certificate-authority-data': authority } }],
    users: [{ name: 'u', user: { token: tokens.ada } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'default' } }],
    'current-context': 'x',
  }
}

/** kubectl up to 1.28 looks kinds up in OpenAPI v2, which is not served. */
async function tooOld(): Promise<string | undefined> {
  const { stdout } = await runProcess(['kubectl', 'version', '--client', '-o', 'json'])
  const { major, minor } = JSON.parse(stdout).clientVersion
  const isOld = Number(major) === 1 && Number.parseInt(minor, 10) < 29
  return isOld ? `needs kubectl 1.29 or newer, found ${major}.${minor}` : undefined
}
