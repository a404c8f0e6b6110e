import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type CloneBench, openCloneBench, whyNoGit } from '../../../test/support/clone-bench.ts'
import { type SshServer, startSshd } from '../../../test/support/git-server.ts'
import { titled } from '../../../test/support/requirements.ts'
import type { SshFiles } from './clone-job.ts'

const why = whyNoGit(['sshd', 'ssh', 'ssh-keygen'])

describe.skipIf(why)(titled('a clone over ssh', why), () => {
  let bench: CloneBench
  beforeAll(async () => {
    bench = await openCloneBench()
  })
  afterAll(() => bench?.close())
  beforeEach(() => bench.renew())

  let ssh: SshServer
  beforeAll(async () => {
    ssh = await startSshd(join(bench.folder, 'ssh'))
  })
  afterAll(async () => {
    await ssh?.stop()
  })
  const path = () => `${ssh.url}${join(bench.served, 'app.git')}`

  test('with a key and known hosts, and without known hosts', async () => {
    const { keyFile, knownHostsFile } = ssh
    const expected = { directory: 'app', commit: bench.commits[4], branch: 'main' }
    expect(await bench.cloned(path(), {}, { sshKeyFile: keyFile, knownHostsFile })).toEqual(expected)
    await rm(join(bench.workspaces, 'app'), { recursive: true })
    await rm('/tmp/known-hosts', { force: true })
    expect(await bench.cloned(path(), {}, { sshKeyFile: keyFile })).toEqual(expected)
    await rm('/tmp/known-hosts', { force: true })
  })

  test.each([
    ['no key', 'forbidden', 'repository-private'],
    ['a changed host key', 'forbidden', 'repository-host-key'],
    ['no such repository', 'not_found', 'repository-not-found'],
  ])('%s', async (what, reason, code) => {
    const knownHostsFile = join(bench.folder, 'other-hosts')
    const other = (await readFile(join(bench.folder, 'ssh', 'user.pub'), 'utf8'))
      .split(' ')
      .slice(0, 2)
      .join(' ')
    await writeFile(knownHostsFile, `[127.0.0.1]:${ssh.port} ${other}\n`)
    const files: Record<string, SshFiles> = {
      'no key': { knownHostsFile: ssh.knownHostsFile },
      'a changed host key': { sshKeyFile: ssh.keyFile, knownHostsFile },
    }
    const url = what === 'no such repository' ? `${ssh.url}/none.git` : path()
    const given = files[what] ?? { sshKeyFile: ssh.keyFile, knownHostsFile: ssh.knownHostsFile }
    expect(await bench.failed(url, {}, given)).toEqual({ reason, code, hinted: true })
  })
})
