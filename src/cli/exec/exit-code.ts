import { constants } from 'node:os'
import type { Exit } from '../../core/exec.ts'

/** As a shell reports it: the code itself, or 128 + the number of the signal. */
export function exitCode(exit: Exit): number {
  // A code that is no exit code would be cut down to 8 bits by the system, and 256 would read as success.
  if ('code' in exit) return exit.code >= 0 && exit.code <= 255 ? exit.code : 255
  const number = (constants.signals as Record<string, number | undefined>)[exit.signal]
  return 128 + (number ?? 0)
}
