// A data folder below one that only root can pass, as root's home is: the database's account and the sandboxes' ids
// cannot reach what lies there, and all the same everything works.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type GitServer, git, makeRepository, startGitHttp } from '../support/git-server.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { openNetwork, type TestNetwork } from '../support/host-network.ts'
import { lacking, titled } from '../support/requirements.ts'
import { openStack, ROOT, type Stack } from '../support/stack.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['git', 'git-http-backend'] })

describe.skipIf(reason !== undefined)(titled('below a private folder', reason), () => {
  let network: TestNetwork
  let stack: Stack
  let server: GitServer

  beforeAll(async () => {
    network = await openNetwork()
    const git_ = { allow: [`${network.hostAddress}/32`] }
    stack = await openStack({ isPrivate: true, runner: () => ({ git: git_ }) })
  })
  afterAll(async () => {
    await server?.stop()
    await stack?.close()
    await network?.close()
  })

  test('a folder is sent, stopped and started', async () => {
    await stack.ok(['env', 'create', join(ROOT, 'examples/hello'), '--name', 'sent'])
    await stack.ok('exec sent --cwd /workspaces/hello -- tests/run')
    await stack.ok('env stop sent')
    await stack.ok('env start sent')
    expect(await stack.ok('exec sent --user nobody -- cat /workspaces/hello/README.md')).toContain('hello')
  })

  test('a repository is cloned', async () => {
    const served = join(stack.folder, 'served')
    await mkdir(served)
    const [commit] = await makeRepository(join(stack.folder, 'work'), { one: '1' })
    await git(stack.folder, 'clone', '--quiet', '--mirror', 'work', join(served, 'app.git'))
    server = await startGitHttp(served, network.hostAddress)
    await stack.ok(['env', 'create', `${server.url}/app.git`, '--name', 'cloned'])
    expect(await stack.ok('exec cloned -- git -C /workspaces/app rev-parse HEAD')).toBe(commit)
  })

  test('it ends and comes back', async () => {
    expect(await stack.up.end()).toMatchObject({ code: 0 })
    await stack.start()
    await stack.until('Environment', 'cloned', found => found?.status.phase === 'Running')
    expect(await stack.ok('exec cloned -- cat /workspaces/app/one')).toBe('1')
  })
})
