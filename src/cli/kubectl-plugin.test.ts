// The program as kubectl's plugin, in front of a real server and a runner whose sandboxes are plain child processes.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CliCall } from '../../test/support/cli.ts'
import { type CliWorld, openCliWorld } from '../../test/support/cli-world.ts'
import { saveContext } from './config/file.ts'
import { configPath } from './config/paths.ts'
import { calledAs } from './output/called-as.ts'

let world: CliWorld
beforeAll(async () => {
  world = await openCliWorld()
})
afterAll(() => world?.close())

const plugin = (line: string, call?: CliCall) =>
  world.cli.run(line.split(' '), { ...call, program: 'kubectl bothy' })

test('help, misuse and hints say what has to be typed', async () => {
  const { stdout } = await plugin('--help')
  expect(stdout).toMatch(/^Usage: kubectl bothy <verb>/)
  expect((await plugin('exec --help')).stdout).toContain('$ kubectl bothy exec calm-otter -t -- top')
  for (const line of ['--help', 'env --help', 'kubeconfig --help', 'completion --help']) {
    expect((await plugin(line)).stdout.replaceAll('kubectl bothy', '')).not.toMatch(/\bbothy (?=[a-z])/)
  }
  const unknown = await plugin('frobnicate calm-otter')
  expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining("unknown command 'frobnicate'") })
  expect(unknown.stderr).toContain('kubectl bothy --help lists what there is')
  expect((await plugin('shell missing')).stderr).toContain('kubectl bothy get environment lists')
  expect((await plugin('env list')).stderr).toContain('Make one: kubectl bothy env create GIT_URL')
  expect(calledAs('bothy.dev ~/.config/bothy x kubectl bothy y bothy 0.1', 'kubectl bothy')).toBe(
    'bothy.dev ~/.config/bothy x kubectl bothy y kubectl bothy 0.1',
  )
})

test('it works on what kubectl works on, and -n and --context choose something else', async () => {
  const created = await plugin('env create --name plug')
  expect(created.stdout).toContain('enter:  kubectl bothy shell plug')
  expect((await plugin('exec plug -- echo in')).stdout).toBe('in\n')
  // Another context of ours is current in the command line; kubectl's leads here.
  const env = { HOME: world.cli.home }
  const nowhere = { name: 'nowhere', server: 'https://127.0.0.1:9', token: 'bothy_n', namespace: 'default' }
  await world.bothy('kubeconfig --write')
  await saveContext(configPath(env), nowhere, true)
  expect((await world.bothy('env list')).code).toBe(8)
  expect((await plugin('env list -o name')).stdout).toBe('plug\n')
  expect((await plugin('logs plug')).stdout).toContain('running, epoch 1')
  expect((await plugin('explain env/plug')).stdout).toContain('Enter it: kubectl bothy shell plug')
  expect((await plugin('env list --context nowhere')).code).toBe(8)
  expect((await plugin('env list -o name --context bothy-test')).stdout).toBe('plug\n')
  expect((await plugin('env list -n elsewhere')).stdout).toBe('')
  // kubectl config set-context --current --namespace=elsewhere
  const file = join(world.cli.home, '.kube', 'config')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace('namespace: default', 'namespace: elsewhere'))
  expect((await plugin('env list -o name')).stdout).toBe('')
  expect((await plugin('env list -o name -n default')).stdout).toBe('plug\n')
  // Who sets the variables means them.
  const said = { BOTHY_SERVER: world.server.url(), BOTHY_TOKEN: world.server.tokens.ada }
  const ca = join(world.cli.home, 'ca.pem')
  await writeFile(ca, world.server.pki.ca)
  expect((await plugin('env list -o name', { env: { ...said, BOTHY_CA: ca } })).stdout).toBe('plug\n')
  await saveContext(configPath(env), nowhere, false)
  await world.bothy('env delete plug --context test')
})

test('completion offers the verbs that people type', async () => {
  const offered = async (...words: string[]) =>
    (await world.cli.run(['__complete', '--', ...words], { program: 'kubectl bothy' })).stdout
      .trim()
      .split('\n')
  expect(await offered('')).toContain('kubeconfig')
  expect(await offered('')).not.toContain('credential')
  expect(await offered('kubeconfig', '--')).toEqual(expect.arrayContaining(['--write', '--use', '--context']))
  expect(await offered('kubeconfig', '-o', '')).toEqual(['yaml', 'json'])
  expect(await offered('kubeconfig', '--write', '')).toEqual([':files'])
})
