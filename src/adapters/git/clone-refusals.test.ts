import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type CloneBench, openCloneBench, whyNoGit } from '../../../test/support/clone-bench.ts'
import { git, makeRepository } from '../../../test/support/git-server.ts'
import { freePort } from '../../../test/support/registry.ts'
import { lacking, titled } from '../../../test/support/requirements.ts'
import { mustRun } from '../../lib/run-process.ts'
import { cloneJob } from './clone-job.ts'

const why = whyNoGit()

describe.skipIf(why)(titled('a clone that fails says why', why), () => {
  let bench: CloneBench
  beforeAll(async () => {
    bench = await openCloneBench()
  })
  afterAll(() => bench?.close())
  beforeEach(() => bench.renew())

  test.each([
    ['a repository that is not there', '/none.git', undefined, 'not_found', 'repository-not-found'],
    ['a private repository', '/private/app.git', undefined, 'forbidden', 'repository-private'],
    ['a forbidden one', '/status/403/app.git', undefined, 'forbidden', 'repository-private'],
    ['a host in trouble', '/status/503/app.git', undefined, 'unavailable', 'repository-unreachable'],
    ['a branch that does not exist', '/app.git', 'nope', 'not_found', 'ref-not-found'],
    ['a ref that does not exist', '/app.git', 'refs/pull/9/head', 'not_found', 'ref-not-found'],
    ['a commit that does not exist', '/app.git', 'a'.repeat(40), 'not_found', 'ref-not-found'],
  ])('%s', async (_, path, ref, reason, code) => {
    expect(await bench.failed(`${bench.http.url}${path}`, { ref })).toEqual({ reason, code, hinted: true })
  })

  test.each([
    ['none.git', undefined, 'repository-not-found'],
    ['app.git', 'nope', 'ref-not-found'],
  ])('the same over the git protocol: %s', async (path, ref, code) => {
    expect((await bench.failed(`${bench.daemon.url}/${path}`, { ref })).code).toBe(code)
  })

  test('a host that nobody listens on, and a name that nobody knows', async () => {
    const port = await freePort()
    const expected = { reason: 'unavailable', code: 'repository-unreachable', hinted: true }
    const ssh = lacking({ programs: ['ssh'] }) === undefined ? ['ssh'] : []
    for (const scheme of ['http', 'https', 'git', ...ssh]) {
      expect(await bench.failed(`${scheme}://127.0.0.1:${port}/app.git`)).toEqual(expected)
    }
    expect(await bench.failed('http://no-such-host.invalid/app.git')).toEqual(expected)
  })

  const whyNot = lacking({ root: true })
  test.skipIf(whyNot)(titled('a full disk', whyNot), async () => {
    const big = join(bench.folder, 'big')
    await makeRepository(big, {
      noise: Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('hex'),
    })
    const noise = Array.from({ length: 60 }, () =>
      Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64'),
    )
    await writeFile(join(big, 'more'), noise.join('\n'))
    await git(big, 'add', '.')
    await git(big, 'commit', '--quiet', '-m', 'More')
    await git(bench.folder, 'clone', '--quiet', '--mirror', big, join(bench.served, 'big.git'))
    await mustRun(['mount', '-t', 'tmpfs', '-o', 'size=3M', 'tmpfs', bench.workspaces])
    try {
      const expected = { reason: 'exhausted', code: 'disk-full', hinted: true }
      expect(await bench.failed(`${bench.http.url}/big.git`)).toEqual(expected)
    } finally {
      await mustRun(['umount', bench.workspaces])
    }
  })

  test('protocols that run programs or read files are not spoken', async () => {
    for (const url of [
      'ext::sh -c "touch /tmp/escaped"',
      `file://${bench.served}/app.git`,
      `${bench.served}/app.git`,
    ]) {
      const job = cloneJob({ ...bench.request('http://x/app.git'), source: url }, {})
      const { code } = await bench.run(job)
      expect(code).not.toBe(0)
    }
    expect(await readdir(bench.workspaces)).toEqual([])
  })
})
