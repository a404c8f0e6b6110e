// kubectl, unmodified, on environments that really run.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { startProgram } from '../support/program.ts'
import { lacking, titled } from '../support/requirements.ts'
import { openStack, ROOT, type Stack } from '../support/stack.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['kubectl'] })
const MANIFESTS = join(ROOT, 'examples/manifests')

describe.skipIf(reason !== undefined)(titled('kubectl', reason), () => {
  let stack: Stack
  let kubeconfig: string

  beforeAll(async () => {
    stack = await openStack()
    kubeconfig = join(stack.folder, 'kubeconfig')
    await writeFile(kubeconfig, await stack.ok('kubeconfig'), { mode: 0o600 })
  })
  afterAll(() => stack?.close())

  const open = (...argv: string[]) =>
    startProgram(['kubectl', ...argv], { env: { ...stack.env, KUBECONFIG: kubeconfig } })
  const ok = async (...argv: string[]) => {
    const { code, stdout, stderr } = await open(...argv).result
    expect(code, `kubectl ${argv.join(' ')}: ${stderr}`).toBe(0)
    return stdout
  }

  test('the manifests that are shipped along are applied, and applied again', async () => {
    expect(await ok('apply', '-f', MANIFESTS)).toContain('environment.bothy.dev/scratch created')
    const again = await ok('apply', '-f', MANIFESTS)
    expect(again).toMatch(/scratch (unchanged|configured)/)
    expect(again).not.toContain('created')
  })

  test('get -w shows an environment come up, and a table says so', async () => {
    const watching = open('get', 'environments', '--watch')
    await watching.until(/scratch +Running/)
    await watching.end()
    expect(await ok('get', 'environments')).toMatch(/^NAME +PHASE +CLASS +RUNNER +AGE\n/)
    expect(await ok('get', 'env', 'scratch')).toMatch(/scratch +Running +small +local/)
    expect(await ok('get', 'runners', '-o', 'name')).toContain('runner.bothy.dev/local')
    await ok('wait', '--for=condition=Ready', 'environment/scratch', '--timeout=30s')
    expect(await stack.ok('exec scratch -- id -u')).toBe('0')
  })

  test('a patch stops it', async () => {
    await ok('patch', 'env', 'scratch', '--type=merge', '-p', '{"spec":{"desired":"Stopped"}}')
    await ok('wait', '--for=jsonpath={.status.phase}=Stopped', 'environment/scratch', '--timeout=30s')
  })

  test('a repository that cannot be had is told where kubectl looks', async () => {
    await ok('wait', '--for=jsonpath={.status.phase}=Failed', 'environment/calm-otter', '--timeout=30s')
    expect(await ok('describe', 'env', 'calm-otter')).toContain('git.example.com')
  })

  test('delete waits until nothing is left', async () => {
    await ok('delete', '-f', MANIFESTS)
    expect((await open('get', 'environments').result).stderr).toContain('No resources found')
    expect(await stack.ok('env list')).toBe('')
  })
})
