import { describe, expect, test } from 'vitest'
import { parseDeb822Sources, parseOneLineSources, parseOsRelease } from './apt-sources.ts'
import { planRecipe, recipeDigest, sourceLine } from './recipe.ts'

const DEB822 = `# the archive
Types: deb deb-src
# a comment between fields
URIs: http://deb.debian.org/debian/
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example.org/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://me:secret@private.example.org/debian file:/srv/mirror
Suites: bookworm
Components: main
`

describe('the host sources', () => {
  test('in deb822 form', () => {
    expect(parseDeb822Sources(DEB822).map(sourceLine)).toEqual([
      'deb http://deb.debian.org/debian bookworm main contrib',
      'deb http://deb.debian.org/debian bookworm-updates main contrib',
      'deb http://security.example.org/debian-security bookworm-security main',
    ])
  })

  test('in the one-line form', () => {
    const text = `# deb http://a.example.org/x y z
deb [arch=amd64 signed-by=/k.gpg] https://b.example.org/debian/ bookworm main contrib # why
  deb http://c.example.org/ubuntu noble main
deb-src http://d.example.org/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb https://me:secret@e.example.org/debian bookworm main
deb http://f.example.org/flat ./
nonsense`
    expect(parseOneLineSources(text)).toEqual([
      { uri: 'https://b.example.org/debian', suite: 'bookworm', components: ['main', 'contrib'] },
      { uri: 'http://c.example.org/ubuntu', suite: 'noble', components: ['main'] },
      { uri: 'http://f.example.org/flat', suite: './', components: [] },
    ])
  })

  test('os-release', () => {
    expect(parseOsRelease('NAME="Debian"\nVERSION_CODENAME=bookworm\nID=debian\n')).toEqual({
      id: 'debian',
      codename: 'bookworm',
    })
    expect(parseOsRelease('ID="fedora"')).toEqual({ id: 'fedora', codename: '' })
  })
})

describe('the recipe', () => {
  const debian = { id: 'debian', codename: 'bookworm' }
  const ubuntu = { id: 'ubuntu', codename: 'noble' }
  const third = { uri: 'https://deb.nodesource.com/node_20.x', suite: 'nodistro', components: ['main'] }
  const lines = (...args: Parameters<typeof planRecipe>) => planRecipe(...args)?.sources.map(sourceLine)

  test("uses the host's mirror and its security archive, not those of others", () => {
    const sources = [third, ...parseDeb822Sources(DEB822)]
    expect(lines('bookworm', 'amd64', { os: debian, sources })).toEqual([
      'deb http://deb.debian.org/debian bookworm main',
      'deb http://deb.debian.org/debian bookworm-updates main',
      'deb http://security.example.org/debian-security bookworm-security main',
    ])
  })

  test('asks the same mirror for another suite; a rolling one has no updates', () => {
    const host = { os: debian, sources: parseDeb822Sources(DEB822) }
    expect(lines('trixie', 'amd64', host)?.[0]).toBe('deb http://deb.debian.org/debian trixie main')
    expect(lines('sid', 'amd64', host)).toEqual(['deb http://deb.debian.org/debian sid main'])
  })

  test('on Ubuntu, with universe; on a host that follows an alias', () => {
    const noble = parseOneLineSources(
      'deb http://archive.ubuntu.com/ubuntu noble main restricted universe\ndeb http://security.ubuntu.com/ubuntu noble-security main universe',
    )
    expect(lines('noble', 'amd64', { os: ubuntu, sources: noble })).toEqual([
      'deb http://archive.ubuntu.com/ubuntu noble main universe',
      'deb http://archive.ubuntu.com/ubuntu noble-updates main universe',
      'deb http://security.ubuntu.com/ubuntu noble-security main universe',
    ])
    const stable = parseOneLineSources('deb http://deb.debian.org/debian stable main')
    expect(lines('bookworm', 'arm64', { os: debian, sources: stable })).toEqual([
      'deb http://deb.debian.org/debian bookworm main',
      'deb http://deb.debian.org/debian bookworm-updates main',
      'deb http://deb.debian.org/debian-security bookworm-security main',
    ])
  })

  test('is not to be had without a mirror, unless one is given', () => {
    const fedora = { os: { id: 'fedora', codename: '' }, sources: [third] }
    expect(planRecipe('bookworm', 'amd64', fedora)).toBeUndefined()
    expect(lines('bookworm', 'amd64', fedora, 'http://mirror.example.org/debian/')?.[0]).toBe(
      'deb http://mirror.example.org/debian bookworm main',
    )
  })

  test('is named by what is in it', () => {
    const host = { os: debian, sources: parseDeb822Sources(DEB822) }
    const digest = (suite: string, arch: string, mirror?: string) =>
      recipeDigest(planRecipe(suite, arch, host, mirror)!)
    expect(digest('bookworm', 'amd64')).toMatch(/^sha256:[0-9a-f]{64}$/)
    const all = [
      digest('bookworm', 'amd64'),
      digest('bookworm', 'amd64'),
      digest('bookworm', 'arm64'),
      digest('trixie', 'amd64'),
      digest('bookworm', 'amd64', 'http://mirror.example.org/debian'),
    ]
    expect(new Set(all).size).toBe(4)
  })
})
