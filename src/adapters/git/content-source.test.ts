import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type CloneBench, openCloneBench, whyNoGit } from '../../../test/support/clone-bench.ts'
import { git, startGitHttp } from '../../../test/support/git-server.ts'
import { titled } from '../../../test/support/requirements.ts'
import { cloneJob, TARGETS } from './clone-job.ts'
import { createContentSource } from './content-source.ts'

const why = whyNoGit()

describe.skipIf(why)(titled('content from git', why), () => {
  let bench: CloneBench
  beforeAll(async () => {
    bench = await openCloneBench()
  })
  afterAll(() => bench?.close())
  beforeEach(() => bench.renew())

  const source = createContentSource({ allow: [] })
  let serial = 0

  describe('sent by the client', () => {
    const bundle = async (...refs: string[]) => {
      const file = join(bench.folder, `bundle-${++serial}`)
      await git(bench.app, 'bundle', 'create', '--quiet', file, ...refs)
      return file
    }
    const unpack = async (file: string, more: { ref?: string; origin?: string } = {}) => {
      const job = await source.plan({ upload: { directory: 'app', ...more } }, { bundle: file })
      if (job === undefined) throw new Error('no job')
      expect(job.reach).toEqual([])
      const argv = job.argv.map(text => (text === '/workspaces' ? bench.workspaces : text))
      return bench.run({ ...job, argv }, job.files)
    }

    test('HEAD and every branch that was sent, without an origin', async () => {
      const { stdout } = await unpack(await bundle('HEAD', '--all'))
      expect(source.parseResult(stdout)).toEqual({
        directory: 'app',
        commit: bench.commits[4],
        branch: 'main',
      })
      expect(await bench.git('remote')).toBe('')
      expect(await bench.git('rev-parse', 'feature/x', 'v1')).toBe(`${bench.commits[0]}\n${bench.commits[1]}`)
      expect(await bench.git('status', '--porcelain')).toBe('')
    })

    test('another branch, with an origin', async () => {
      const origin = 'https://git.example.com/team/app.git'
      const { stdout } = await unpack(await bundle('HEAD', '--all'), { ref: 'feature/x', origin })
      expect(source.parseResult(stdout)).toMatchObject({ commit: bench.commits[0], branch: 'feature/x' })
      expect(await bench.git('remote', 'get-url', 'origin')).toBe(origin)
    })

    test.each([
      ['an unknown ref', 'nope', 'ref-not-found'],
      ['an option for a ref', '--orphan=x', 'ref-not-found'],
    ])('%s is refused', async (_, ref, code) => {
      const result = await unpack(await bundle('HEAD', 'main'), { ref })
      const fault = source.explainFailure({ upload: { directory: 'app', ref } }, result.code, result.stderr)
      expect(fault).toMatchObject({ code, reason: 'not_found' })
      expect(await readdir(bench.workspaces)).toEqual([])
    })

    test('something that is no bundle is refused', async () => {
      const file = join(bench.folder, 'no-bundle')
      await writeFile(file, 'no bundle')
      const result = await unpack(file)
      const fault = source.explainFailure({ upload: { directory: 'app' } }, result.code, result.stderr)
      expect(fault).toMatchObject({ name: 'Fault' })
      expect(await readdir(bench.workspaces)).toEqual([])
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
      const server = await startGitHttp(bench.served, own)
      try {
        await expect(plan(`${server.url}/app.git`)).rejects.toMatchObject({ code: 'git-host-forbidden' })
        const job = await plan(`${server.url}/app.git`, [own])
        if (job === undefined) throw new Error('no job')
        expect(job.reach).toEqual([{ host: own, address: own, port: server.port }])
        const argv = job.argv.map(text => (text === '/workspaces' ? bench.workspaces : text))
        expect(source.parseResult((await bench.run({ ...job, argv })).stdout).commit).toBe(bench.commits[4])
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
      { ...bench.request(`${bench.http.url}/app.git`), ref: hostile, directory: 'a b', source: hostile },
      {},
    )
    const child = spawn(job.argv[0]!, job.argv.slice(1), {
      env: job.env,
      cwd: bench.workspaces,
      stdio: 'ignore',
    })
    const [code] = (await once(child, 'exit')) as [number]
    expect(code).not.toBe(0)
    expect(await readdir(bench.workspaces)).toEqual([])
  })
})
