// What `env create` starts from. GIT_URL or FOLDER is decided once, here, and never guessed.
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { findGitUrl } from '../../api/git-url.ts'
import { Fault } from '../../lib/fault.ts'

export type Source =
  | { readonly kind: 'empty' }
  | { readonly kind: 'git'; readonly url: string; readonly directory: string }
  | { readonly kind: 'snapshot'; readonly name: string }
  /** A fork. */
  | { readonly kind: 'environment'; readonly name: string }
  /** `path` is absolute; `directory` is its name below /workspaces. */
  | { readonly kind: 'folder'; readonly path: string; readonly directory: string }

/** What `parseSource` answers. */
export type ParsedSource = Extract<Source, { kind: 'empty' | 'git' | 'folder' }>

/**
 * `text` is the argument, if there was one. A git URL is a git URL even where a folder of that name exists; anything
 * else must be a folder that exists. Faults with `invalid` and says what would have been accepted.
 */
export async function parseSource(
  text: string | undefined,
  options: { empty: boolean; cwd: string },
): Promise<ParsedSource> {
  if (options.empty && text !== undefined) {
    throw new Fault('invalid', 'source-ambiguous', `create: '${text}' and --empty exclude each other`)
  }
  if (text === undefined) return { kind: 'empty' }
  const url = findGitUrl(text)
  if (url !== undefined) return { kind: 'git', url: text, directory: url.directory }
  const path = resolve(options.cwd, text)
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined
    throw new Fault('forbidden', 'folder-unreadable', `read ${path}: ${cause.code ?? cause.message}`, {
      cause,
    })
  })
  if (found?.isDirectory() === true) return { kind: 'folder', path, directory: directoryName(path) }
  throw new Fault(
    'invalid',
    'source-unknown',
    `create from '${withoutPassword(text)}': ${whyNot(text, found !== undefined)}`,
    {
      hint: 'give https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, a folder that exists, or --empty',
    },
  )
}

// What is said ends up in the logs of whoever ran it.
function withoutPassword(text: string): string {
  return text.replace(/^([a-z+]+:\/\/[^/:]*):.*@/, '$1:***@')
}

function whyNot(text: string, exists: boolean): string {
  if (exists) return 'that is a file, not a folder'
  if (/^[a-z+]+:\/\/[^/]*:[^/]*@/.test(text)) {
    return 'a URL with a password would be stored in the clear; give the URL without it'
  }
  if (/^[a-z+]+::?/.test(text)) return 'not a git URL that can be cloned'
  return 'neither a git URL nor a folder here'
}

/** The last part of the path as a name below /workspaces: `My Project` becomes `my-project`. */
export function directoryName(path: string): string {
  const name = basename(path)
    .toLowerCase()
    .replace(/\.git$/, '')
    .replace(/[^a-z0-9-]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')
  return name === '' ? 'project' : name
}
