import { describe, expect, test } from 'vitest'
import { explainCloneFailure } from './clone-failure.ts'
import { EXITS } from './clone-script.ts'

const url = 'https://git.example.com/team/app.git'
const ACCESS = `fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
`

// What git 2.39 (curl 7.88, GnuTLS) and OpenSSH 9.2 print with LC_ALL=C, and the servers of large hosts through them.
describe("git's words", () => {
  test.each([
    [`fatal: repository '${url}/' not found`, 'not_found', 'repository-not-found'],
    [
      `remote: Repository not found.\nfatal: repository '${url}/' not found`,
      'not_found',
      'repository-not-found',
    ],
    [`ERROR: Repository not found.\n${ACCESS}`, 'not_found', 'repository-not-found'],
    [
      `fatal: '/srv/none.git' does not appear to be a git repository\n${ACCESS}`,
      'not_found',
      'repository-not-found',
    ],
    [
      'fatal: remote error: access denied or repository not exported: /none.git',
      'not_found',
      'repository-not-found',
    ],
    [
      `fatal: could not read Username for '${url}': terminal prompts disabled`,
      'forbidden',
      'repository-private',
    ],
    [`fatal: Authentication failed for '${url}/'`, 'forbidden', 'repository-private'],
    [
      `fatal: unable to access '${url}/': The requested URL returned error: 403`,
      'forbidden',
      'repository-private',
    ],
    [`git@git.example.com: Permission denied (publickey).\n${ACCESS}`, 'forbidden', 'repository-private'],
    [`Host key verification failed.\n${ACCESS}`, 'forbidden', 'repository-host-key'],
    [
      `fatal: unable to access '${url}/': Could not resolve host: git.example.com`,
      'unavailable',
      'repository-unreachable',
    ],
    [
      `fatal: unable to access '${url}/': Failed to connect to git.example.com port 443 after 0 ms: Couldn't connect to server`,
      'unavailable',
      'repository-unreachable',
    ],
    [
      `fatal: unable to access '${url}/': The requested URL returned error: 503`,
      'unavailable',
      'repository-unreachable',
    ],
    [
      'fatal: unable to connect to git.example.com:\ngit.example.com[0: 192.0.2.1]: errno=Connection refused',
      'unavailable',
      'repository-unreachable',
    ],
    [
      `ssh: connect to host git.example.com port 22: Connection timed out\n${ACCESS}`,
      'unavailable',
      'repository-unreachable',
    ],
    [
      'error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec transferred the last 120 seconds\nfatal: the remote end hung up unexpectedly',
      'unavailable',
      'repository-unreachable',
    ],
    [
      'fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\nfatal: fetch-pack: invalid index-pack output',
      'unavailable',
      'repository-unreachable',
    ],
    [
      `fatal: unable to access '${url}/': server certificate verification failed. CAfile: none CRLfile: none`,
      'unavailable',
      'repository-untrusted',
    ],
    ["fatal: transport 'http' not allowed", 'invalid', 'repository-moved'],
    [
      'warning: Could not find remote branch nope to clone.\nfatal: Remote branch nope not found in upstream origin',
      'not_found',
      'ref-not-found',
    ],
    ["fatal: couldn't find remote ref refs/pull/9/head", 'not_found', 'ref-not-found'],
    ['fatal: write error: No space left on device\nfatal: index-pack failed', 'exhausted', 'disk-full'],
    ['error: unable to write file a: Disk quota exceeded', 'exhausted', 'disk-full'],
    [
      'ssh: 1: ssh: not found\nfatal: Could not read from remote repository.',
      'unsupported',
      'clone-program-missing',
    ],
    ['sh: 13: git: not found', 'unsupported', 'clone-program-missing'],
    ['something that nobody has seen', 'internal', 'clone-failed'],
    ['', 'internal', 'clone-failed'],
  ])('%s', (stderr, reason, code) => {
    const fault = explainCloneFailure(url, undefined, 128, stderr)
    expect(fault).toMatchObject({ reason, code, hint: expect.any(String) })
    expect(fault.message).toMatch(/^clone https:\/\/git\.example\.com\/team\/app\.git: ./)
    expect(fault.message).not.toMatch(/correct access rights|Could not read from remote/)
  })

  test.each([
    [EXITS.noSpace, 'exhausted', 'disk-full'],
    [EXITS.noSuchRef, 'not_found', 'ref-not-found'],
    [EXITS.directoryTaken, 'invalid', 'directory-taken'],
  ])('exit code %i is believed before any words', (exit, reason, code) => {
    const fault = explainCloneFailure(url, 'nope', exit, 'fatal: Authentication failed')
    expect(fault).toMatchObject({ reason, code, message: expect.stringContaining(`clone ${url} at nope: `) })
  })

  test('words of a server cannot bring control characters into the message', () => {
    const fault = explainCloneFailure(url, undefined, 128, `remote: \u001b[31m${'x'.repeat(1000)}\u0007`)
    expect(fault.message).not.toMatch(/\p{Cc}/u)
    expect(fault.message.length).toBeLessThan(500)
  })
})
