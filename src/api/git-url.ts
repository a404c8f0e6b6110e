import { z } from 'zod'
import { Fault } from '../lib/fault.ts'

/** A git remote, parsed once. The same parts decide whether it may be reached and are what is connected to. */
export interface GitUrl {
  readonly scheme: 'https' | 'http' | 'ssh' | 'git'
  readonly host: string
  readonly port: number
  /** Canonical URL for git; never carries a password. */
  readonly url: string
  /** Folder name that `git clone` would choose. */
  readonly directory: string
}

const PORTS = { https: 443, http: 80, ssh: 22, git: 9418 } as const
const SCP_LIKE = /^([A-Za-z0-9_][A-Za-z0-9._-]*)@([A-Za-z0-9][A-Za-z0-9.-]*):(?!\/\/)([^\s\\]+)$/
const CONTROL = /[\s\p{Cc}\\]/u

/**
 * Undefined for whatever is no network URL: `file:`, host paths, `ext::` and other remote helpers (they run programs),
 * options in disguise (`--upload-pack=…`), and URLs that carry a password (it would be stored in the clear).
 */
export function findGitUrl(text: string): GitUrl | undefined {
  if (text.length > 2048 || CONTROL.test(text) || text.startsWith('-')) return undefined
  const scp = SCP_LIKE.exec(text)
  if (scp !== null) return findGitUrl(`ssh://${scp[1]}@${scp[2]}/${scp[3]!.replace(/^\/+/, '')}`)
  const match = /^(https|http|ssh|git):\/\//.exec(text)
  if (match === null || !URL.canParse(text)) return undefined
  const scheme = match[1] as GitUrl['scheme']
  const url = new URL(text)
  const host = url.hostname
  if (host === '' || host.startsWith('-') || url.password !== '' || url.search !== '' || url.hash !== '')
    return undefined
  if (url.username.startsWith('-') || (url.username !== '' && scheme !== 'ssh')) return undefined
  const directory = directoryOf(url.pathname)
  if (directory === undefined) return undefined
  const port = url.port === '' ? PORTS[scheme] : Number(url.port)
  return port === 0 ? undefined : { scheme, host, port, url: url.href, directory }
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
