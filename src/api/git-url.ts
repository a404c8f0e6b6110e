import { z } from 'zod'
import { Fault } from '../lib/fault.ts'

/** A git remote, parsed once. The same parts decide whether it may be reached and are what is connected to. */
export interface GitUrl {
  readonly scheme: 'https' | 'http' | 'ssh' | 'git'
  /** A host name in lower case, or an address (IPv6 without brackets). */
  readonly host: string
  readonly port: number
  /** Canonical form for git; never carries a password. Parsing it again gives the same parts. */
  readonly url: string
  /** Folder name made from the last part of the path: lower case letters, digits and `-`. */
  readonly directory: string
}

const PORTS = { https: 443, http: 80, ssh: 22, git: 9418 } as const
// user@host:path, which ssh understands relative to the user's home. It has no escapes and no port.
const SCP_LIKE = /^([A-Za-z0-9_][A-Za-z0-9._-]*)@([A-Za-z0-9.-]+):(?!-|\/\/)([^\s\\?#]+)$/
const CONTROL = /[\s\p{Cc}\\]/u
const USER = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]*)?$/
const HOST_NAME = /^(?!.*-(?:\.|$))(?:[a-z0-9][a-z0-9-]{0,62}\.)*[a-z0-9][a-z0-9-]{0,62}$/
const IPV6 = /^\[[0-9a-f:.]+\]$/

/**
 * Undefined for whatever is no network URL: `file:`, host paths, `ext::` and other remote helpers (they run programs),
 * options in disguise (`--upload-pack=…`, users or hosts that begin with a dash, also percent-encoded), hosts that
 * git would read differently than we do, and URLs that carry a password (it would be stored in the clear).
 */
export function findGitUrl(text: string): GitUrl | undefined {
  if (text.length > 2048 || CONTROL.test(text) || text.startsWith('-')) return undefined
  const scp = SCP_LIKE.exec(text)
  return scp === null ? findFullUrl(text) : findScpUrl(scp[1]!, scp[2]!.toLowerCase(), scp[3]!)
}

/** Faults with `invalid` and says what is accepted. */
export function parseGitUrl(text: string): GitUrl {
  const parsed = findGitUrl(text)
  if (parsed !== undefined) return parsed
  const hint =
    'use https://…, ssh://…, git://… or user@host:path; a local folder is sent by `bothy env create FOLDER`'
  throw new Fault(
    'invalid',
    'git-url-invalid',
    `'${text.slice(0, 80)}' is not a git URL that can be cloned`,
    { hint },
  )
}

export const gitUrlSchema = z
  .string()
  .refine(
    text => findGitUrl(text) !== undefined,
    'an https, http, ssh or git URL without password, query or fragment',
  )

function findScpUrl(user: string, host: string, path: string): GitUrl | undefined {
  const directory = directoryOf(path)
  if (!HOST_NAME.test(host) || directory === undefined) return undefined
  return { scheme: 'ssh', host, port: PORTS.ssh, url: `${user}@${host}:${path}`, directory }
}

function findFullUrl(text: string): GitUrl | undefined {
  const match = /^(https|http|ssh|git):\/\//.exec(text)
  if (match === null || !URL.canParse(text)) return undefined
  const scheme = match[1] as GitUrl['scheme']
  const url = new URL(text)
  if (url.password !== '' || /[?#]/.test(text) || !USER.test(url.username)) return undefined
  if (url.username !== '' && scheme !== 'ssh') return undefined
  const shown = url.hostname.toLowerCase()
  if (!HOST_NAME.test(shown) && !IPV6.test(shown)) return undefined
  const directory = directoryOf(url.pathname)
  const port = url.port === '' ? PORTS[scheme] : Number(url.port)
  if (directory === undefined || port === 0) return undefined
  const user = url.username === '' ? '' : `${url.username}@`
  const explicitPort = url.port === '' ? '' : `:${url.port}`
  return {
    scheme,
    host: shown.replace(/^\[|\]$/g, ''),
    port,
    url: `${scheme}://${user}${shown}${explicitPort}${url.pathname}`,
    directory,
  }
}

function directoryOf(path: string): string | undefined {
  const last =
    path
      .replace(/\/+$/, '')
      .split('/')
      .at(-1)
      ?.replace(/\.git$/, '') ?? ''
  const name = last
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63)
    .replace(/-+$/, '')
  return name === '' ? undefined : name
}
