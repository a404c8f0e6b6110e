import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type CloneBench, openCloneBench, whyNoGit } from '../../../test/support/clone-bench.ts'
import { git } from '../../../test/support/git-server.ts'
import { titled } from '../../../test/support/requirements.ts'
import { explainCloneFailure } from './clone-failure.ts'
import { cloneJob } from './clone-job.ts'

const why = whyNoGit()

describe.skipIf(why)(titled('a clone', why), () => {
  let bench: CloneBench
  beforeAll(async () => {
    bench = await openCloneBench()
  })
  afterAll(() => bench?.close())
  beforeEach(() => bench.renew())

  test('the default branch, shallow, with an origin that later fetches everything', async () => {
    const url = `${bench.http.url}/app.git`
    expect(await bench.cloned(url)).toEqual({ directory: 'app', commit: bench.commits[4], branch: 'main' })
    expect(await bench.git('rev-list', '--count', 'HEAD')).toBe('1')
    expect(await bench.git('remote', 'get-url', 'origin')).toBe(url)
    expect(await bench.git('status', '--porcelain')).toBe('')
    await bench.git('fetch', '--quiet')
    expect(await bench.git('rev-parse', 'origin/feature/x')).toBe(bench.commits[0])
    expect(await readdir(bench.workspaces)).toEqual(['app'])
    // What was set for the clone alone is not in its settings.
    expect(await bench.git('config', '--local', '--list')).not.toMatch(/hookspath|lowspeed|fsmonitor/i)
  })

  test.each(['https', 'git'])('over the %s protocol, all of the history', async scheme => {
    const url = scheme === 'git' ? `${bench.daemon.url}/app.git` : `${bench.http.url}/app.git`
    expect((await bench.cloned(url, { depth: 0 })).commit).toBe(bench.commits[4])
    expect(await bench.git('rev-list', '--count', 'HEAD')).toBe('5')
    expect(await bench.git('tag')).toBe('v1')
  })

  test('submodules and LFS files are left out, and that is said', async () => {
    const { stderr } = await bench.clone(`${bench.http.url}/app.git`)
    expect(stderr).toContain('note: submodules are not fetched')
    expect(stderr).toContain('note: LFS files are not fetched')
    expect(stderr).toContain('Receiving objects: 100%')
  })

  test.each([
    ['a branch', 'feature/x', 0, 'feature/x'],
    ['a tag', 'v1', 1, undefined],
    ['a full ref', 'refs/pull/7/head', 2, undefined],
  ])('%s', async (_, ref, at, branch) => {
    const expected = {
      directory: 'app',
      commit: bench.commits[at],
      ...(branch === undefined ? {} : { branch }),
    }
    expect(await bench.cloned(`${bench.http.url}/app.git`, { ref })).toEqual(expected)
  })

  test.each(['http', 'git'])(
    'a commit over %s, also when the server sends no single commits',
    async scheme => {
      const url = scheme === 'http' ? `${bench.http.url}/app.git` : `${bench.daemon.url}/app.git`
      const bare = join(bench.served, 'app.git')
      for (const refuses of ['false', 'true']) {
        await git(bare, 'config', 'uploadpack.allowAnySHA1InWant', refuses === 'true' ? 'false' : 'true')
        // Version 2 of the protocol sends any commit; version 0 asks the settings.
        await git(bare, 'config', 'protocol.version', refuses === 'true' ? '0' : '2')
        const directory = `app-${refuses}`
        expect(await bench.cloned(url, { ref: bench.commits[1]!, directory })).toEqual({
          directory,
          commit: bench.commits[1],
        })
      }
    },
  )

  test('a repository without commits', async () => {
    expect(await bench.cloned(`${bench.http.url}/empty.git`)).toMatchObject({ commit: '0'.repeat(40) })
  })

  test('a complete clone is left alone, a partial one is begun again', async () => {
    const url = `${bench.http.url}/app.git`
    await mkdir(join(bench.workspaces, '.app.partial', 'rest'), { recursive: true })
    const first = await bench.cloned(url)
    await writeFile(join(bench.workspaces, 'app', 'mine'), 'work')
    expect(await bench.cloned(url, { ref: 'v1' })).toEqual(first)
    expect(await readFile(join(bench.workspaces, 'app', 'mine'), 'utf8')).toBe('work')
    expect(await readdir(bench.workspaces)).toEqual(['app'])
  })

  test('a folder that holds something else is not touched', async () => {
    await mkdir(join(bench.workspaces, 'app'))
    await writeFile(join(bench.workspaces, 'app', 'mine'), 'work')
    const { code, stderr } = await bench.clone(`${bench.http.url}/app.git`)
    expect(explainCloneFailure('x', undefined, code, stderr).code).toBe('directory-taken')
    expect(await readdir(join(bench.workspaces, 'app'))).toEqual(['mine'])
  })

  test('killed in the middle, it leaves nothing that looks finished; the next attempt completes', async () => {
    // A server that accepts and never answers: the job is in the middle of it for as long as we want.
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const abort = new AbortController()
    const killed = bench.run(
      cloneJob(bench.request(`http://127.0.0.1:${port}/app.git`), {}),
      [],
      abort.signal,
    )
    const [socket] = await once(silent, 'connection')
    abort.abort()
    await expect(killed).rejects.toMatchObject({ reason: 'cancelled' })
    socket.destroy()
    silent.close()
    expect(await stat(join(bench.workspaces, 'app')).catch(() => 'absent')).toBe('absent')
    expect((await bench.cloned(`${bench.http.url}/app.git`)).commit).toBe(bench.commits[4])
    expect(await readdir(bench.workspaces)).toEqual(['app'])
  })
})
