// Which process is to go, when one has to: pure.
import type { ProcessSample } from './sample.ts'

// Less than this is no relief: shells, init processes, the many that wait for others.
const LEAST_BYTES = 8 * 2 ** 20
/** When `work` holds less of what is taken than this, ending it would be for nothing. */
const WORTHWHILE = 1 / 8

/**
 * Those of an environment in the order in which they are to go: the largest of `work` first, and somebody's shell, editor
 * or language server only when all of `work` together is not worth ending. `wantedBytes`: what is to be won at least, if it can be.
 */
export function victims(
  processes: readonly ProcessSample[],
  { takenBytes, wantedBytes = 1 }: { readonly takenBytes: number; readonly wantedBytes?: number },
): readonly ProcessSample[] {
  const bySize = processes.toSorted((a, b) => b.bytes - a.bytes || b.pid - a.pid)
  const work = bySize.filter(each => each.in === 'work')
  const sum = work.reduce((total, each) => total + each.bytes, 0)
  const chosen = sum >= takenBytes * WORTHWHILE ? work : bySize.filter(each => each.in === 'session')
  const worthwhile = chosen.filter(each => each.bytes >= LEAST_BYTES)
  // A bomb of many small ones: then the largest of them, whatever its size.
  const order = worthwhile.length > 0 ? worthwhile : chosen.slice(0, 64)
  const some: ProcessSample[] = []
  let won = 0
  for (const each of order) {
    if (won >= wantedBytes) break
    some.push(each)
    won += each.bytes
  }
  return some
}

/** `1.2 GiB`, `340 MiB`. */
export function spellBytes(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`
}
