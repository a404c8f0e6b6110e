// gVisor's runtime as this host has it.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import { HELPER_ENV } from './helper.ts'

export interface RunscProgram {
  readonly path: string
  readonly version: string
  /** What catches the calls of programs inside, best first: systrap (2023 and newer), else ptrace. kvm needs /dev/kvm and
   * is faster on bare metal only. */
  readonly platform: 'systrap' | 'ptrace'
  /** Names of the flags that it knows. */
  readonly flags: ReadonlySet<string>
}

let known: { readonly program: RunscProgram; readonly changedMs: number } | undefined

/** Undefined: it is not installed. Asked anew when the file has changed. */
export async function findRunsc(): Promise<RunscProgram | undefined> {
  for (const dir of (HELPER_ENV['PATH'] ?? '').split(':')) {
    const path = join(dir, 'runsc')
    const stats = await stat(path).catch(() => undefined) // Not here.
    if (stats === undefined || !stats.isFile()) continue
    if (known?.program.path === path && known.changedMs === stats.mtimeMs) return known.program
    const [version, flags] = await Promise.all([
      mustRun([path, '--version'], { env: HELPER_ENV }),
      // On standard error.
      runProcess([path, 'flags'], { env: HELPER_ENV }),
    ])
    known = { program: parseRunsc(path, version, flags.stderr), changedMs: stats.mtimeMs }
    return known.program
  }
  return undefined
}

/** From what `runsc --version` and `runsc flags` say. */
export function parseRunsc(path: string, version: string, flags: string): RunscProgram {
  const platform = /^ {2}-platform [^]*?(?=^ {2}-|$(?![^]))/m.exec(flags)?.[0] ?? ''
  return {
    path,
    version: /version (\S+)/.exec(version)?.[1] ?? 'unknown',
    platform: platform.includes('systrap') ? 'systrap' : 'ptrace',
    flags: new Set([...flags.matchAll(/^ {2}-([\w-]+)/gm)].map(([, name = '']) => name)),
  }
}
