import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findGitUrl, parseGitUrl } from './git-url.ts'

describe('git URLs', () => {
  test.each([
    ['https://Git.Example.com/Team/My.App.git', 'https', 'git.example.com', 443, 'my-app'],
    ['https://git.example.com:8443/app/', 'https', 'git.example.com', 8443, 'app'],
    ['http://10.0.0.1/a', 'http', '10.0.0.1', 80, 'a'],
    ['ssh://git@git.example.com:2222/team/app.git', 'ssh', 'git.example.com', 2222, 'app'],
    ['ssh://GIT.example.com/~me/app', 'ssh', 'git.example.com', 22, 'app'],
    ['git://git.example.com/app', 'git', 'git.example.com', 9418, 'app'],
    ['https://[2001:DB8::1]/app', 'https', '2001:db8::1', 443, 'app'],
    ['https://bücher.example/app', 'https', 'xn--bcher-kva.example', 443, 'app'],
    ['git@git.example.com:team/app.git', 'ssh', 'git.example.com', 22, 'app'],
    ['me@host:/srv/app.git', 'ssh', 'host', 22, 'app'],
    ['me@host:~/app', 'ssh', 'host', 22, 'app'],
  ])('%s', (text, scheme, host, port, directory) => {
    expect(findGitUrl(text)).toMatchObject({ scheme, host, port, directory })
  })

  test('a path below the home of an ssh user stays one', () => {
    // It was made absolute once: fine for the big hosts, wrong for every plain server.
    expect(parseGitUrl('me@Host.example:app.git').url).toBe('me@host.example:app.git')
  })

  test('an address is written as it will be connected to', () => {
    expect(findGitUrl('https://0x7f.1/app')?.host).toBe('127.0.0.1')
    expect(findGitUrl('https://2130706433/app')?.url).toBe('https://127.0.0.1/app')
  })

  test.each([
    '',
    '/srv/app.git',
    './app',
    'app.git',
    'file:///srv/app.git',
    'ext::sh -c true',
    'fd::7/app',
    '--upload-pack=touch x',
    '-u',
    'https://-host/app',
    'ssh://-oProxyCommand=x/app',
    'ssh://-oProxyCommand=x@host/app',
    'ssh://%2doProxyCommand=x@host/app',
    'ssh://ho%73t/app',
    'ssh://host%0a/app',
    'ssh://git:secret@host/app',
    'https://user@host/app',
    'https://user:secret@host/app',
    'https://host/app?x=1',
    'https://host/app?',
    'https://host/app#x',
    'https://host:0/app',
    'https://host:99999/app',
    'https://host.-/app',
    'https://host/',
    'https://host',
    'git://a_b/app',
    'me@host:-x',
    'me@host://x/app',
    'me@-host:app',
    'me@host:',
    'me@host:a b',
    'me@host:a\\b',
    'https://host/a\nb',
    'https://host/a\u0000b',
    'HTTPS://host/app',
    `https://host/${'a'.repeat(2048)}`,
  ])('%j is refused', text => {
    expect(findGitUrl(text)).toBeUndefined()
    expect(() => parseGitUrl(text)).toThrow(expect.objectContaining({ reason: 'invalid' }))
  })

  const part = fc.stringMatching(/^[A-Za-z0-9._~%@:/[\]\\#?-]{0,20}$/)
  const nearly = fc.oneof(
    fc
      .tuple(fc.constantFrom('https', 'ssh', 'git', 'http', 'file', 'ext'), part, part)
      .map(([scheme, host, path]) => `${scheme}://${host}/${path}`),
    fc.tuple(part, part, part).map(([user, host, path]) => `${user}@${host}:${path}`),
    fc.string({ unit: 'grapheme' }),
    fc.webUrl(),
  )

  test('whatever is accepted is its own canonical form, without options, secrets or surprises', () => {
    let accepted = 0
    fc.assert(
      fc.property(nearly, text => {
        const found = findGitUrl(text)
        if (found === undefined) return
        accepted++
        expect(findGitUrl(found.url)).toEqual(found)
        expect(found.url).not.toMatch(/^-|\s|\\|[?#]|\/\/[^/]*:[^/@]*@/)
        expect(found.host).toMatch(/^(?:[a-z0-9][a-z0-9.-]*|[0-9a-f:.]+)$/)
        expect(found.port).toBeGreaterThan(0)
        expect(found.port).toBeLessThan(65_536)
        expect(found.directory).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/)
        // The host that is checked is the host that git will read out of the text.
        const shown = found.host.includes(':') ? `[${found.host}]` : found.host
        expect(found.url.replace(/^[a-z]+:\/\//, '').replace(/^[^@/]*@/, '')).toMatch(
          new RegExp(`^${shown.replace(/[.[\]]/g, '\\$&')}(?=[:/])`),
        )
      }),
      { numRuns: 3000 },
    )
    // The generator is worth something only if it hits.
    expect(accepted).toBeGreaterThan(100)
  })
})
