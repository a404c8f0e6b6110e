import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type GitServer,
  git,
  makeRepository,
  type SshServer,
  startGitDaemon,
  startGitHttp,
  startSshd,
} from '../../../test/support/git-server.ts'
import { freePort } from '../../../test/support/registry.ts'
import { lacking, titled } from '../../../test/support/requirements.ts'
import { parseGitUrl } from '../../api/git-url.ts'
import type { DiskJob } from '../../core/driver.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import { explainCloneFailure } from './clone-failure.ts'
import { type CloneRequest, cloneJob, type SshFiles, TARGETS } from './clone-job.ts'
import { createContentSource } from './content-source.ts'

const why = lacking({ programs: ['git', 'git-http-backend', 'git-daemon'] })
const whySsh = why ?? lacking({ programs: ['sshd', 'ssh', 'ssh-keygen'] })

describe.skipIf(why)(titled('content from git', why), () => {
  let folder: string
  let workspaces: string
  let http: GitServer
  let daemon: GitServer
  let commits: string[]
  let serial = 0

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bothy-git-'))
    const app = join(folder, 'work')
    commits = await makeRepository(app, {
      one: '1',
      two: '2',
      three: '3',
      '.gitattributes': '*.bin filter=lfs diff=lfs merge=lfs -text\n',
      '.gitmodules': '[submodule "x"]\n\tpath = x\n\turl = file:///etc\n',
    })
    await git(app, 'tag', 'v1', commits[1]!)
    await git(app, 'branch', 'feature/x', commits[0]!)
    await git(app, 'update-ref', 'refs/pull/7/head', commits[2]!)
    await mkdir(join(folder, 'srv'))
    await git(folder, 'clone', '--quiet', '--mirror', app, join(folder, 'srv', 'app.git'))
    await git(folder, 'init', '--quiet', '--bare', join(folder, 'srv', 'empty.git'))
    http = await startGitHttp(join(folder, 'srv'))
    daemon = await startGitDaemon(join(folder, 'srv'))
  })
  afterAll(async () => {
    await http?.stop()
    await daemon?.stop()
    await rm(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    workspaces = join(folder, `workspaces-${++serial}`)
    await mkdir(workspaces)
  })

  /** Runs a job as a child of this process: files appear at their sources instead of their targets. */
  const run = async (
    job: Pick<DiskJob, 'argv' | 'env'>,
    files: DiskJob['files'] = [],
    signal?: AbortSignal,
  ) => {
    const shown = (text: string) =>
      files.reduce((all, file) => all.replaceAll(file.target, file.source), text)
    const env = Object.fromEntries(Object.entries(job.env).map(([name, value]) => [name, shown(value)]))
    const argv = job.argv.map(shown) as [string, ...string[]]
    return runProcess(argv, { env, ...(signal === undefined ? {} : { signal }) })
  }
  const request = (url: string, more: Partial<CloneRequest> = {}): CloneRequest => ({
    kind: 'git',
    workspaces,
    directory: 'app',
    source: url,
    protocol: parseGitUrl(url).scheme,
    ref: undefined,
    depth: 1,
    origin: undefined,
    ...more,
  })
  const clone = async (url: string, more: Partial<CloneRequest> = {}, ssh: SshFiles = {}) => {
    const files = [
      { source: ssh.sshKeyFile ?? '', target: TARGETS.sshKey },
      { source: ssh.knownHostsFile ?? '', target: TARGETS.knownHosts },
    ]
    return run(cloneJob(request(url, more), ssh), files)
  }
  const source = createContentSource({ allow: [] })
  const cloned = async (url: string, more: Partial<CloneRequest> = {}, ssh: SshFiles = {}) => {
    const result = await clone(url, more, ssh)
    expect(result).toMatchObject({ code: 0 })
    return source.parseResult(result.stdout)
  }
  const failed = async (url: string, more: Partial<CloneRequest> = {}, ssh: SshFiles = {}) => {
    const result = await clone(url, more, ssh)
    const fault = explainCloneFailure(url, more.ref, result.code, result.stderr)
    expect(await readdir(workspaces)).toEqual([])
    expect(fault.hint).toBeDefined()
    return { reason: fault.reason, code: fault.code }
  }
  const inClone = (...args: string[]) => git(join(workspaces, 'app'), ...args)

  test('the default branch, shallow, with an origin that later fetches everything', async () => {
    const url = `${http.url}/app.git`
    expect(await cloned(url)).toEqual({ directory: 'app', commit: commits[4], branch: 'main' })
    expect(await inClone('rev-list', '--count', 'HEAD')).toBe('1')
    expect(await inClone('remote', 'get-url', 'origin')).toBe(url)
    expect(await inClone('status', '--porcelain')).toBe('')
    await inClone('fetch', '--quiet')
    expect(await inClone('rev-parse', 'origin/feature/x')).toBe(commits[0])
    expect(await readdir(workspaces)).toEqual(['app'])
    // What was set for the clone alone is not in its settings.
    expect(await inClone('config', '--local', '--list')).not.toMatch(/hookspath|lowspeed|fsmonitor/i)
  })

  test.each(['https', 'git'])('over the %s protocol, all of the history', async scheme => {
    const url = scheme === 'git' ? `${daemon.url}/app.git` : `${http.url}/app.git`
    expect((await cloned(url, { depth: 0 })).commit).toBe(commits[4])
    expect(await inClone('rev-list', '--count', 'HEAD')).toBe('5')
    expect(await inClone('tag')).toBe('v1')
  })

  test('submodules and LFS files are left out, and that is said', async () => {
    const { stderr } = await clone(`${http.url}/app.git`)
    expect(stderr).toContain('note: submodules are not fetched')
    expect(stderr).toContain('note: LFS files are not fetched')
    expect(stderr).toContain('Receiving objects: 100%')
  })

  test.each([
    ['a branch', 'feature/x', 0, 'feature/x'],
    ['a tag', 'v1', 1, undefined],
    ['a full ref', 'refs/pull/7/head', 2, undefined],
  ])('%s', async (_, ref, at, branch) => {
    const expected = { directory: 'app', commit: commits[at], ...(branch === undefined ? {} : { branch }) }
    expect(await cloned(`${http.url}/app.git`, { ref })).toEqual(expected)
  })

  test.each(['http', 'git'])(
    'a commit over %s, also when the server sends no single commits',
    async scheme => {
      const url = scheme === 'http' ? `${http.url}/app.git` : `${daemon.url}/app.git`
      const bare = join(folder, 'srv', 'app.git')
      for (const refuses of ['false', 'true']) {
        await git(bare, 'config', 'uploadpack.allowAnySHA1InWant', refuses === 'true' ? 'false' : 'true')
        // Version 2 of the protocol sends any commit; version 0 asks the settings.
        await git(bare, 'config', 'protocol.version', refuses === 'true' ? '0' : '2')
        const directory = `app-${refuses}`
        expect(await cloned(url, { ref: commits[1]!, directory })).toEqual({ directory, commit: commits[1] })
      }
    },
  )

  test('a repository without commits', async () => {
    expect(await cloned(`${http.url}/empty.git`)).toMatchObject({ commit: '0'.repeat(40) })
  })

  test('a complete clone is left alone, a partial one is begun again', async () => {
    const url = `${http.url}/app.git`
    await mkdir(join(workspaces, '.app.partial', 'rest'), { recursive: true })
    const first = await cloned(url)
    await writeFile(join(workspaces, 'app', 'mine'), 'work')
    expect(await cloned(url, { ref: 'v1' })).toEqual(first)
    expect(await readFile(join(workspaces, 'app', 'mine'), 'utf8')).toBe('work')
    expect(await readdir(workspaces)).toEqual(['app'])
  })

  test('a folder that holds something else is not touched', async () => {
    await mkdir(join(workspaces, 'app'))
    await writeFile(join(workspaces, 'app', 'mine'), 'work')
    const { code, stderr } = await clone(`${http.url}/app.git`)
    expect(explainCloneFailure('x', undefined, code, stderr).code).toBe('directory-taken')
    expect(await readdir(join(workspaces, 'app'))).toEqual(['mine'])
  })

  test('killed in the middle, it leaves nothing that looks finished; the next attempt completes', async () => {
    // A server that accepts and never answers: the job is in the middle of it for as long as we want.
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const abort = new AbortController()
    const killed = run(cloneJob(request(`http://127.0.0.1:${port}/app.git`), {}), [], abort.signal)
    const [socket] = await once(silent, 'connection')
    abort.abort()
    await expect(killed).rejects.toMatchObject({ reason: 'cancelled' })
    socket.destroy()
    silent.close()
    expect(await stat(join(workspaces, 'app')).catch(() => 'absent')).toBe('absent')
    expect((await cloned(`${http.url}/app.git`)).commit).toBe(commits[4])
    expect(await readdir(workspaces)).toEqual(['app'])
  })

  describe('explains', () => {
    test.each([
      ['a repository that is not there', '/none.git', undefined, 'not_found', 'repository-not-found'],
      ['a private repository', '/private/app.git', undefined, 'forbidden', 'repository-private'],
      ['a forbidden one', '/status/403/app.git', undefined, 'forbidden', 'repository-private'],
      ['a host in trouble', '/status/503/app.git', undefined, 'unavailable', 'repository-unreachable'],
      ['a branch that does not exist', '/app.git', 'nope', 'not_found', 'ref-not-found'],
      ['a ref that does not exist', '/app.git', 'refs/pull/9/head', 'not_found', 'ref-not-found'],
      ['a commit that does not exist', '/app.git', 'a'.repeat(40), 'not_found', 'ref-not-found'],
    ])('%s', async (_, path, ref, reason, code) => {
      expect(await failed(`${http.url}${path}`, { ref })).toEqual({ reason, code })
    })

    test.each([
      ['none.git', undefined, 'repository-not-found'],
      ['app.git', 'nope', 'ref-not-found'],
    ])('the same over the git protocol: %s', async (path, ref, code) => {
      expect((await failed(`${daemon.url}/${path}`, { ref })).code).toBe(code)
    })

    test('a host that nobody listens on, and a name that nobody knows', async () => {
      const port = await freePort()
      const expected = { reason: 'unavailable', code: 'repository-unreachable' }
      for (const scheme of ['http', 'https', 'git', 'ssh']) {
        expect(await failed(`${scheme}://127.0.0.1:${port}/app.git`)).toEqual(expected)
      }
      expect(await failed('http://no-such-host.invalid/app.git')).toEqual(expected)
    })

    const whyNot = lacking({ root: true })
    test.skipIf(whyNot)(titled('a full disk', whyNot), async () => {
      const big = join(folder, 'big')
      await makeRepository(big, {
        noise: Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('hex'),
      })
      const noise = Array.from({ length: 60 }, () =>
        Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64'),
      )
      await writeFile(join(big, 'more'), noise.join('\n'))
      await git(big, 'add', '.')
      await git(big, 'commit', '--quiet', '-m', 'More')
      await git(folder, 'clone', '--quiet', '--mirror', big, join(folder, 'srv', 'big.git'))
      await mustRun(['mount', '-t', 'tmpfs', '-o', 'size=3M', 'tmpfs', workspaces])
      try {
        const expected = { reason: 'exhausted', code: 'disk-full' }
        expect(await failed(`${http.url}/big.git`)).toEqual(expected)
      } finally {
        await mustRun(['umount', workspaces])
      }
    })

    test('protocols that run programs or read files are not spoken', async () => {
      for (const url of [
        'ext::sh -c "touch /tmp/escaped"',
        `file://${folder}/srv/app.git`,
        `${folder}/srv/app.git`,
      ]) {
        const job = cloneJob({ ...request('http://x/app.git'), source: url }, {})
        const { code } = await run(job)
        expect(code).not.toBe(0)
      }
      expect(await readdir(workspaces)).toEqual([])
    })
  })

  describe.skipIf(whySsh)(titled('over ssh', whySsh), () => {
    let ssh: SshServer
    beforeAll(async () => {
      ssh = await startSshd(join(folder, 'ssh'))
    })
    afterAll(async () => {
      await ssh?.stop()
    })
    const path = () => `${ssh.url}${join(folder, 'srv', 'app.git')}`

    test('with a key and known hosts, and without known hosts', async () => {
      const { keyFile, knownHostsFile } = ssh
      const expected = { directory: 'app', commit: commits[4], branch: 'main' }
      expect(await cloned(path(), {}, { sshKeyFile: keyFile, knownHostsFile })).toEqual(expected)
      await rm(join(workspaces, 'app'), { recursive: true })
      await rm('/tmp/known-hosts', { force: true })
      expect(await cloned(path(), {}, { sshKeyFile: keyFile })).toEqual(expected)
      await rm('/tmp/known-hosts', { force: true })
    })

    test.each([
      ['no key', 'forbidden', 'repository-private'],
      ['a changed host key', 'forbidden', 'repository-host-key'],
      ['no such repository', 'not_found', 'repository-not-found'],
    ])('%s', async (what, reason, code) => {
      const knownHostsFile = join(folder, 'other-hosts')
      const other = (await readFile(join(folder, 'ssh', 'user.pub'), 'utf8')).split(' ').slice(0, 2).join(' ')
      await writeFile(knownHostsFile, `[127.0.0.1]:${ssh.port} ${other}\n`)
      const files: Record<string, SshFiles> = {
        'no key': { knownHostsFile: ssh.knownHostsFile },
        'a changed host key': { sshKeyFile: ssh.keyFile, knownHostsFile },
      }
      const url = what === 'no such repository' ? `${ssh.url}/none.git` : path()
      const given = files[what] ?? { sshKeyFile: ssh.keyFile, knownHostsFile: ssh.knownHostsFile }
      expect(await failed(url, {}, given)).toEqual({ reason, code })
    })
  })

  describe('sent by the client', () => {
    const bundle = async (...refs: string[]) => {
      const file = join(folder, `bundle-${++serial}`)
      await git(join(folder, 'work'), 'bundle', 'create', '--quiet', file, ...refs)
      return file
    }
    const unpack = async (file: string, more: { ref?: string; origin?: string } = {}) => {
      const job = await source.plan({ upload: { directory: 'app', ...more } }, { bundle: file })
      if (job === undefined) throw new Error('no job')
      expect(job.reach).toEqual([])
      const argv = job.argv.map(text => (text === '/workspaces' ? workspaces : text))
      return run({ ...job, argv }, job.files)
    }

    test('HEAD and every branch that was sent, without an origin', async () => {
      const { stdout } = await unpack(await bundle('HEAD', '--all'))
      expect(source.parseResult(stdout)).toEqual({ directory: 'app', commit: commits[4], branch: 'main' })
      expect(await inClone('remote')).toBe('')
      expect(await inClone('rev-parse', 'feature/x', 'v1')).toBe(`${commits[0]}\n${commits[1]}`)
      expect(await inClone('status', '--porcelain')).toBe('')
    })

    test('another branch, with an origin', async () => {
      const origin = 'https://git.example.com/team/app.git'
      const { stdout } = await unpack(await bundle('HEAD', '--all'), { ref: 'feature/x', origin })
      expect(source.parseResult(stdout)).toMatchObject({ commit: commits[0], branch: 'feature/x' })
      expect(await inClone('remote', 'get-url', 'origin')).toBe(origin)
    })

    test.each([
      ['an unknown ref', 'nope', 'ref-not-found'],
      ['an option for a ref', '--orphan=x', 'ref-not-found'],
    ])('%s is refused', async (_, ref, code) => {
      const result = await unpack(await bundle('HEAD', 'main'), { ref })
      const fault = source.explainFailure({ upload: { directory: 'app', ref } }, result.code, result.stderr)
      expect(fault).toMatchObject({ code, reason: 'not_found' })
      expect(await readdir(workspaces)).toEqual([])
    })

    test('something that is no bundle is refused', async () => {
      const file = join(folder, 'no-bundle')
      await writeFile(file, 'no bundle')
      const result = await unpack(file)
      const fault = source.explainFailure({ upload: { directory: 'app' } }, result.code, result.stderr)
      expect(fault).toMatchObject({ name: 'Fault' })
      expect(await readdir(workspaces)).toEqual([])
    })
  })

  describe('plan', () => {
    const plan = (url: string, allow: string[] = []) =>
      createContentSource({ allow }).plan({ git: { url, depth: 1 } }, {})

    test('empty content needs no job; an upload that has not come is waited for', async () => {
      expect(await source.plan({ empty: {} }, {})).toBeUndefined()
      const missing = source.plan({ upload: { directory: 'app' } }, {})
      await expect(missing).rejects.toMatchObject({ reason: 'unavailable', code: 'bundle-missing' })
    })

    test.each([
      'http://127.0.0.1/app.git',
      'http://localhost/app.git',
      'git://2130706433/app.git',
      'ssh://git@0x7f.1/app.git',
      'http://[::1]/app.git',
      'http://[::ffff:127.0.0.1]/app.git',
      'http://169.254.169.254/app.git',
      'git@10.0.0.1:app.git',
      'http://0.0.0.0/app.git',
    ])('refuses %s', async url => {
      await expect(plan(url)).rejects.toMatchObject({ reason: 'forbidden', code: 'git-host-forbidden' })
      if (!/10\.|169\./.test(url)) {
        await expect(plan(url, ['127.0.0.0/8', 'localhost', '::/0', '0.0.0.0/0'])).rejects.toMatchObject({
          reason: 'forbidden',
        })
      }
    })

    test('a name that does not resolve is unavailable', async () => {
      const planned = plan('https://no-such-host.invalid/app.git')
      await expect(planned).rejects.toMatchObject({ reason: 'unavailable', code: 'git-host-unresolved' })
    })

    test('an address that the operator allowed is pinned, with its port', async () => {
      const job = await plan('ssh://git@10.1.2.3:2222/team/My.App.git', ['10.1.0.0/16'])
      expect(job?.reach).toEqual([{ host: '10.1.2.3', address: '10.1.2.3', port: 2222 }])
      expect(job?.argv.slice(4)).toEqual([
        '/workspaces',
        'my-app',
        'ssh://git@10.1.2.3:2222/team/My.App.git',
        '',
        '1',
        'git',
        '',
      ])
    })

    test('what is planned can be run: a clone from this host by its own address', async context => {
      const own = Object.values(networkInterfaces())
        .flat()
        .find(found => found?.family === 'IPv4' && !found.internal)?.address
      if (own === undefined) return context.skip('needs an address besides loopback')
      const server = await startGitHttp(join(folder, 'srv'), own)
      try {
        await expect(plan(`${server.url}/app.git`)).rejects.toMatchObject({ code: 'git-host-forbidden' })
        const job = await plan(`${server.url}/app.git`, [own])
        if (job === undefined) throw new Error('no job')
        expect(job.reach).toEqual([{ host: own, address: own, port: server.port }])
        const argv = job.argv.map(text => (text === '/workspaces' ? workspaces : text))
        expect(source.parseResult((await run({ ...job, argv })).stdout).commit).toBe(commits[4])
      } finally {
        await server.stop()
      }
    })

    test('keys go along for ssh only', async () => {
      const withKeys = createContentSource({ allow: ['10.0.0.0/8'], sshKeyFile: '/k', knownHostsFile: '/h' })
      const overSsh = await withKeys.plan({ git: { url: 'git@10.0.0.1:a/b.git', depth: 1 } }, {})
      expect(overSsh?.files).toEqual([
        { source: '/k', target: TARGETS.sshKey },
        { source: '/h', target: TARGETS.knownHosts },
      ])
      const overHttps = await withKeys.plan({ git: { url: 'https://10.0.0.1/a/b.git', depth: 1 } }, {})
      expect(overHttps?.files).toEqual([])
    })
  })

  test.each([
    'nonsense',
    '{}',
    '{"directory":"app","commit":"abc"}',
    `{"directory":"../app","commit":"${'a'.repeat(40)}"}`,
    `{"directory":"app","commit":"${'a'.repeat(40)}","branch":"a b"}`,
    `{"directory":"app","commit":"${'a'.repeat(40)}","more":1}`,
    `{"directory":"app","commit":"${'a'.repeat(40)}"}\n{}`,
  ])('a result such as %s is not believed', stdout => {
    expect(() => source.parseResult(stdout)).toThrow(/not the expected line/)
  })

  test('nothing in a request is read by a shell', async () => {
    const hostile = '$(touch pwned)`touch pwned`;touch pwned'
    const job = cloneJob(
      { ...request(`${http.url}/app.git`), ref: hostile, directory: 'a b', source: hostile },
      {},
    )
    const child = spawn(job.argv[0]!, job.argv.slice(1), { env: job.env, cwd: workspaces, stdio: 'ignore' })
    const [code] = (await once(child, 'exit')) as [number]
    expect(code).not.toBe(0)
    expect(await readdir(workspaces)).toEqual([])
  })
})
