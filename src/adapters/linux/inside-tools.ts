// Perl and the little that it needs, in a folder that sandboxes are shown read-only: what is to be done inside must not
// depend on what the image has, or on what its owner made of it.
import { chmod, copyFile, mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import { mustRun } from '../../lib/run-process.ts'
import { HELPER_ENV, helperPath } from './helper.ts'

/** Where the folder is inside. */
export const INSIDE_TARGET = '/dev/.bothy'
const PERL = '/usr/bin/perl'

/** Runs inside.pl with `args`, inside. */
export const insideArgv = (...args: readonly string[]): string[] => [
  ...[`${INSIDE_TARGET}/loader`, '--library-path', INSIDE_TARGET, `${INSIDE_TARGET}/perl`],
  ...[`${INSIDE_TARGET}/inside.pl`, ...args],
]

/** Lays the folder out anew. */
export async function makeInsideTools(dir: string): Promise<void> {
  const { loader, libraries } = parseLoaded(
    // What ldd(1) does.
    await mustRun([PERL], { env: { ...HELPER_ENV, LD_TRACE_LOADED_OBJECTS: '1' } }),
  )
  await mkdir(dir, { recursive: true })
  await chmod(dir, 0o755)
  const put = async (source: string, name: string, mode: number) => {
    await copyFile(source, join(dir, name))
    await chmod(join(dir, name), mode)
  }
  await Promise.all([
    put(PERL, 'perl', 0o755),
    put(loader, 'loader', 0o755),
    put(helperPath('inside.pl'), 'inside.pl', 0o644),
    ...libraries.map(each => put(each, basename(each), 0o644)),
  ])
}

/** From what the dynamic loader says: `NAME => PATH (ADDRESS)` for each library, `PATH (ADDRESS)` for itself. */
export function parseLoaded(text: string): { loader: string; libraries: string[] } {
  const lines = text.split('\n').map(line => line.trim())
  const libraries = lines.flatMap(line => /=> (\/\S+) \(0x/.exec(line)?.[1] ?? [])
  const loader = lines.flatMap(line => /^(\/\S+) \(0x/.exec(line)?.[1] ?? [])[0]
  if (loader !== undefined) return { loader, libraries }
  throw new Fault(
    'unsupported',
    'perl-static',
    `find what ${PERL} needs: its loader is not named in: ${text}`,
  )
}
