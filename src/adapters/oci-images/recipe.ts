import { createHash } from 'node:crypto'
import type { AptSource, OsRelease } from './apt-sources.ts'

/** Raise it whenever the same packages would give another file system: it is part of the digest. */
const RECIPE_VERSION = 1

/**
 * Small, but what somebody expects who types into a shell: minbase plus these is 194 MB (bookworm, amd64, 2025-11).
 */
export const PACKAGES = [
  'bash',
  'ca-certificates',
  'curl',
  'git',
  'iproute2',
  'iputils-ping',
  'less',
  'nano',
  'openssh-client',
  'procps',
  'sudo',
  'unzip',
  'xz-utils',
] as const

/** Paths that dpkg leaves out, now and in the image later, as the slim images of the distributions do. */
export const DPKG_OPTIONS = [
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/info/*',
  'path-exclude=/usr/share/locale/*',
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
] as const

/** Everything that decides what a bootstrapped image holds. */
export interface Recipe {
  readonly suite: string
  readonly architecture: string
  /** The first is the suite itself; the others (updates, security) are used if the mirror has them. */
  readonly sources: readonly AptSource[]
}

// Suites that move forward by themselves and have neither updates nor security.
const ROLLING = ['sid', 'unstable', 'devel']
const ALIASES = ['stable', 'oldstable', 'testing', 'unstable', 'sid', 'devel']

/**
 * The host's own mirror, asked for `suite`: who can install packages on the host can make this image. Undefined when
 * the host's sources name no mirror of its distribution.
 */
export function planRecipe(
  suite: string,
  architecture: string,
  host: { readonly os: OsRelease; readonly sources: readonly AptSource[] },
  mirror?: string,
): Recipe | undefined {
  const main =
    mirror === undefined ? findMain(host) : { uri: mirror.replace(/\/+$/, ''), components: ['main'] }
  if (main === undefined) return undefined
  const wanted = ['main', ...(host.os.id === 'ubuntu' ? ['universe'] : [])]
  const components = wanted.filter(name => name === 'main' || main.components.includes(name))
  const source = (uri: string, name: string): AptSource => ({ uri, suite: name, components })
  const security = mirror === undefined ? findSecurity(host, main.uri) : securityBeside(main.uri, host.os)
  const more = ROLLING.includes(suite)
    ? []
    : [source(main.uri, `${suite}-updates`), source(security, `${suite}-security`)]
  return { suite, architecture, sources: [source(main.uri, suite), ...more] }
}

/**
 * Names the image before it exists: `sha256:` and 64 hex digits over the canonical recipe. What the host trusts is not
 * in it: an image that changed with each update of the host's certificates would change under the environments on it.
 */
export function recipeDigest(recipe: Recipe): string {
  const canonical = JSON.stringify({
    version: RECIPE_VERSION,
    suite: recipe.suite,
    architecture: recipe.architecture,
    sources: recipe.sources.map(sourceLine),
    packages: PACKAGES,
    dpkg: DPKG_OPTIONS,
  })
  return `sha256:${createHash('sha256').update(canonical).digest('hex')}`
}

/** A source as apt's one-line form writes it. */
export function sourceLine(source: AptSource): string {
  return `deb ${source.uri} ${source.suite} ${source.components.join(' ')}`
}

function findMain(host: { os: OsRelease; sources: readonly AptSource[] }): AptSource | undefined {
  const main = host.sources.filter(source => source.components.includes('main'))
  return (
    main.find(source => source.suite === host.os.codename) ??
    main.find(source => ALIASES.includes(source.suite))
  )
}

function findSecurity(host: { os: OsRelease; sources: readonly AptSource[] }, main: string): string {
  const found = host.sources.find(source => source.suite.endsWith('-security') && !source.suite.includes('/'))
  return found?.uri ?? securityBeside(main, host.os)
}

// Debian keeps security updates in an archive of their own, beside the main one by convention; Ubuntu in the same.
function securityBeside(main: string, os: OsRelease): string {
  return os.id === 'ubuntu' ? main : `${main}-security`
}
