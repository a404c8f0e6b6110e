// kubectl, unmodified, with the kubeconfig that `bothy kubeconfig` writes, and with `kubectl bothy`: the files that
// people run, in front of a real server and a runner whose sandboxes are plain child processes.
import { readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { saveContext } from '../../src/cli/config/file.ts'
import { configPath } from '../../src/cli/config/paths.ts'
import { type CliWorld, openCliWorld } from '../support/cli-world.ts'
import { testCacheDir } from '../support/image.ts'
import { KUBECTLS } from '../support/kubectl.ts'
import { runProgram } from '../support/program.ts'
import { titled } from '../support/requirements.ts'
import { BOTHY, ROOT } from '../support/stack.ts'

const reason = KUBECTLS.length === 0 ? 'needs kubectl' : undefined
const versions = KUBECTLS.length === 0 ? [{ file: '', version: '', minor: 0 }] : KUBECTLS

describe.skipIf(reason !== undefined).each(versions)(
  titled('kubectl $version with bothy', reason),
  kubectl => {
    let world: CliWorld
    let env: Record<string, string>
    let kubeconfig: string
    beforeAll(async () => {
      world = await openCliWorld()
      const { home } = world.cli
      kubeconfig = join(home, '.kube', 'config')
      env = {
        HOME: home,
        // What is called kubectl is the one that is tried, and its plugin is the checkout's.
        PATH: [dirname(kubectl.file), ROOT, '/usr/bin', '/bin'].join(':'),
        NODE_COMPILE_CACHE: join(testCacheDir(), 'node'),
      }
    })
    afterAll(() => world?.close())

    const run = (file: string, argv: readonly string[], more: Record<string, string> = {}) =>
      runProgram([file, ...argv], { cwd: world.cli.home, env: { ...env, ...more } })
    const ok = async (file: string, line: string, ...more: string[]) => {
      const { code, stdout, stderr } = await run(file, [...line.split(' '), ...more])
      expect(code, `${file} ${line}: ${stderr}`).toBe(0)
      return stdout
    }
    const kube = (line: string, ...more: string[]) => ok(kubectl.file, line, ...more)

    test('works with the kubeconfig as it is written, and asks for the token each time', async () => {
      await ok(BOTHY, 'kubeconfig --write')
      expect(JSON.parse(await kube('get --raw /whoami'))).toMatchObject({ kind: 'user', name: 'ada' })
      expect(await kube('get runners -o name')).toBe('runner.bothy.dev/here\n')
      // Another token in the contexts file: kubectl acts for somebody else, with the kubeconfig that it has.
      const path = configPath(env)
      const before = await readFile(path, 'utf8')
      const context = { ...parse(before).contexts[0], token: world.server.tokens.admin }
      await saveContext(path, context, false)
      expect(JSON.parse(await kube('get --raw /whoami'))).toMatchObject({ role: 'admin' })
      await saveContext(path, { ...context, name: 'else' }, true)
      await rm(path)
      const lost = await run(kubectl.file, ['get', 'runners'])
      expect(lost.code).not.toBe(0)
      expect(lost.stderr).toContain("hint: there is none yet: 'bothy up' makes one")
      await writeFile(path, before, { mode: 0o600 })
    })

    test('its own changes of the file stay, and ours change nothing twice', async () => {
      await kube('config set-cluster other --server=https://other.example.com')
      await kube('config set-context other --cluster=other --user=nobody')
      await kube('config set-context bothy-test --namespace=team')
      // Before 1.22 it drops what it does not know, which is put back.
      if (kubectl.minor < 22) expect(await ok(BOTHY, 'kubeconfig --write')).toContain('updated context')
      const before = await readFile(kubeconfig, 'utf8')
      expect(before).toContain('namespace: team')
      expect(await ok(BOTHY, 'kubeconfig --write')).toContain('is as it should be')
      expect(await readFile(kubeconfig, 'utf8')).toBe(before)
      await kube('config use-context other')
      await ok(BOTHY, 'kubeconfig --write --use -n default')
      expect(await kube('config current-context')).toBe('bothy-test\n')
      expect(await kube('config get-contexts -o name')).toBe('bothy-test\nother\n')
    })

    test('lists the plugin without a warning, and runs it', async () => {
      const listed = await run(kubectl.file, ['plugin', 'list'])
      expect(listed.stdout).toContain(join(ROOT, 'kubectl-bothy'))
      expect(listed.stderr).not.toMatch(/warning.*kubectl-bothy/)
      expect(await kube('bothy --help')).toMatch(/^Usage: kubectl bothy <verb>/)
      expect(await kube('bothy env create --name plug -o name')).toBe('plug\n')
      const { code, stdout, stderr } = await run(
        kubectl.file,
        ['bothy', 'exec', 'plug', '--', 'sh', '-c', 'echo "a  b"; exit 43'],
        {},
      )
      expect({ code, stdout, stderr }).toEqual({ code: 43, stdout: 'a  b\n', stderr: '' })
      expect(await kube('bothy logs plug --tail 1')).toContain('running, epoch 1')
      expect(await kube('get env plug')).toMatch(/plug +Running/)
      expect(await kube('bothy env stop plug')).toContain('plug is stopped')
      const refused = await run(kubectl.file, ['bothy', 'shell', 'plug'])
      expect(refused.stderr).toContain('kubectl bothy env start plug')
      const unknown = await run(kubectl.file, ['bothy', 'frobnicate', 'plug'])
      expect(unknown).toMatchObject({ code: expect.any(Number), stdout: '' })
      expect(unknown.stderr).toContain("unknown command 'frobnicate'")
    })

    test('the plugin is where kubectl is', async () => {
      await kube('config set-context bothy-test --namespace=elsewhere')
      expect((await run(kubectl.file, ['bothy', 'env', 'list', '-o', 'name'])).stdout).toBe('')
      expect(await kube('bothy env list -o name -n default')).toBe('plug\n')
      await kube('config use-context other')
      // kubectl is somewhere else altogether: the command line's own context holds.
      expect(await kube('bothy env list -o name')).toBe('plug\n')
      expect((await run(kubectl.file, 'bothy env list --context bothy-test'.split(' '))).stdout).toBe('')
      await kube('bothy env delete plug')
    })
  },
)
