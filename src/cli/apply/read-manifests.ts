import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { Fault } from '../../lib/fault.ts'
import type { Deps } from '../deps.ts'
import { type Manifest, parseManifests } from './manifests.ts'

/** All documents of all files, in order; `-` is standard input. Everything is parsed before anything is done. */
export async function readManifests(
  files: readonly string[],
  deps: Pick<Deps, 'stdin' | 'cwd'>,
): Promise<Manifest[]> {
  const all: Manifest[] = []
  for (const file of files) {
    const content = file === '-' ? await text(deps.stdin) : await readManifest(resolve(deps.cwd, file), file)
    all.push(...parseManifests(content, nameOf(file)))
  }
  if (all.length > 0) return all
  throw new Fault(
    'invalid',
    'manifest-empty',
    `read ${files.map(nameOf).join(', ')}: there is no object in it`,
  )
}

const nameOf = (file: string): string => (file === '-' ? 'standard input' : file)

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'that is a folder',
  EACCES: 'reading it is not allowed',
}

async function readManifest(path: string, file: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = WHY[code ?? ''] ?? code ?? message
    throw new Fault(
      code === 'ENOENT' ? 'not_found' : 'invalid',
      'manifest-unreadable',
      `read ${file}: ${why}`,
      {
        cause,
        ...(code === 'EISDIR' ? { hint: `name its files: -f ${file.replace(/\/+$/, '')}/*.yaml` } : {}),
      },
    )
  }
}
