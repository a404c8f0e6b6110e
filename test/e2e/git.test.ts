// Environments from git servers: those that work, and every way in which one does not.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type GitServer,
  git,
  makeRepository,
  type SshServer,
  startGitHttp,
  startSshd,
} from '../support/git-server.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { openNetwork, type TestNetwork } from '../support/host-network.ts'
import { freePort } from '../support/registry.ts'
import { lacking, titled } from '../support/requirements.ts'
import { hostRemains, openStack, type Stack } from '../support/stack.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['git', 'git-http-backend'] })
const noSshd = lacking({ programs: ['sshd', 'ssh', 'ssh-keygen'] })

describe.skipIf(reason !== undefined)(titled('environments from git', reason), () => {
  let network: TestNetwork
  let server: GitServer
  let ssh: SshServer | undefined
  let stack: Stack
  let commits: string[]
  let served: string

  beforeAll(async () => {
    network = await openNetwork()
    const { hostAddress } = network
    const runner = async (folder: string) => {
      if (noSshd === undefined) ssh = await startSshd(join(folder, 'sshd'), hostAddress)
      const { keyFile, knownHostsFile } = ssh ?? {}
      const keys = ssh === undefined ? {} : { sshKeyFile: keyFile, knownHostsFile }
      return { git: { allow: [`${hostAddress}/32`], ...keys } }
    }
    stack = await openStack({ runner })
    served = join(stack.folder, 'served')
    await mkdir(served)
    const work = join(stack.folder, 'work')
    commits = await makeRepository(work, { one: '1', two: '2', three: '3' })
    await git(work, 'tag', 'v1', commits[1]!)
    await git(work, 'branch', 'topic/x', commits[0]!)
    await git(stack.folder, 'clone', '--quiet', '--mirror', work, join(served, 'app.git'))
    server = await startGitHttp(served, hostAddress)
  })
  afterAll(async () => {
    await server?.stop()
    await ssh?.stop()
    await stack?.close()
    await network?.close()
  })

  afterEach(async () => {
    // Gone already, where the test has come to its end.
    await stack.bothy('env delete app')
  })

  const create = (url: string, ...more: string[]) =>
    stack.bothy(['env', 'create', url, '--name', 'app', ...more])
  const inApp = (...argv: string[]) =>
    stack.ok(['exec', 'app', '--', 'git', '-C', '/workspaces/app', ...argv])

  test.each([
    ['what the remote has checked out', [], 2, 'main'],
    ['a branch', ['--ref', 'topic/x'], 0, 'topic/x'],
    ['a tag', ['--ref', 'v1'], 1, 'HEAD'],
    ['a commit', ['--ref', 'COMMIT'], 1, 'HEAD'],
  ])('%s is cloned, shallow', async (_what, options, index, branch) => {
    const more = options.map(each => (each === 'COMMIT' ? commits[1]! : each))
    const created = await create(`${server.url}/app.git`, ...more)
    expect(created, created.stderr).toMatchObject({ code: 0 })
    expect(await inApp('rev-parse', 'HEAD')).toBe(commits[index])
    expect(await inApp('rev-parse', '--abbrev-ref', 'HEAD')).toBe(branch)
    expect(await inApp('rev-list', '--count', 'HEAD')).toBe('1')
    expect(await inApp('remote', 'get-url', 'origin')).toBe(`${server.url}/app.git`)
    expect(await inApp('status', '--porcelain')).toBe('')
    expect((await stack.get('Environment', 'app')).status.git?.commit).toBe(commits[index])
    await stack.ok('env delete app')
  })

  test.skipIf(noSshd !== undefined)(titled('over ssh, with the key of the runner', noSshd), async () => {
    const created = await create(`${ssh?.url}${served}/app.git`, '--ref', 'v1')
    expect(created, created.stderr).toMatchObject({ code: 0 })
    expect(await inApp('rev-parse', 'HEAD')).toBe(commits[1])
    // The key was the clone's, and is nowhere to be found afterwards.
    const found = await stack.bothy('exec app -- grep -rlsE OPENSSH.PRIVATE /root /workspaces /etc /run /tmp')
    expect(found).toMatchObject({ code: 1, stdout: '' })
    await stack.ok('env delete app')
  })

  test.each([
    [
      'a ref that does not exist',
      () => `${server.url}/app.git`,
      ['--ref', 'no-such'],
      4,
      'RefNotFound',
      'no-such',
    ],
    ['a repository that does not exist', () => `${server.url}/none.git`, [], 4, '', 'none.git'],
    ['a private repository', () => `${server.url}/private/app.git`, [], 3, '', 'private/app.git'],
    [
      'a server that does not answer',
      async () => `http://${network.hostAddress}:${await freePort()}/x.git`,
      [],
      8,
      '',
      'x.git',
    ],
    ['an address that is not allowed', () => `http://${network.insideAddress}/x.git`, [], 3, '', 'git.allow'],
    ["the runner's own loopback", () => 'http://127.0.0.1/x.git', [], 3, '', '127.0.0.1'],
    [
      'a host that nobody knows',
      () => 'https://no-such-host.invalid/x.git',
      [],
      8,
      '',
      'no-such-host.invalid',
    ],
  ])('%s: a clear error, a condition, nothing left', async (_what, url, options, code, why, about) => {
    const created = await create(await url(), ...options)
    expect(created.code).toBe(code)
    expect(created.stderr).toContain(about)
    expect(created.stderr).toMatch(/^ {2}hint: ./m)
    const { status, metadata } = await stack.get('Environment', 'app')
    expect(status.phase).toBe('Failed')
    const content = status.conditions.find(({ type }) => type === 'ContentReady')
    expect(content).toMatchObject({ status: 'False', reason: expect.stringMatching(why || /./) })
    expect(content?.hint).not.toBe('')
    expect(status.conditions.find(({ type }) => type === 'Ready')).toMatchObject({
      status: 'False',
      reason: content?.reason,
    })
    expect(await stack.ok('explain environment/app')).toContain(content?.message)
    await stack.ok('env delete app')
    const remains = await hostRemains(stack.dataDir)
    expect(remains.filter(each => each.includes(metadata.uid))).toEqual([])
    // Slots and interfaces are those of nobody now.
    expect(remains.filter(each => /^(slot|interface):/.test(each))).toEqual([])
  })

  test('a name that is taken is told before anything is made', async () => {
    await stack.ok('env create --empty --name app --no-wait')
    const { uid } = (await stack.get('Environment', 'app')).metadata
    const again = await create(`${server.url}/app.git`)
    expect(again.code).toBe(5)
    expect(again.stderr).toContain('bothy env delete app')
    expect((await stack.get('Environment', 'app')).metadata.uid).toBe(uid)
    await stack.ok('env delete app')
  })

  test.each([
    'file:///etc',
    'ext::sh -c id',
    '--upload-pack=id',
    'https://user:secret@git.example.com/x.git',
  ])('%s is no repository', async url => {
    const created = await stack.bothy(['env', 'create', '--name', 'app', '--', url])
    expect(created.code).toBe(2)
    expect(created.stderr).not.toContain('secret')
    expect(await stack.bothy('env get app')).toMatchObject({ code: 4 })
  })
})
