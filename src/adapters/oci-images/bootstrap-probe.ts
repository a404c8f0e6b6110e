import { Fault } from '../../lib/fault.ts'
import type { AptSource } from './apt-sources.ts'

const PATIENCE_MS = 15_000

/**
 * Asks the mirror which of the sources it has. The first is needed: `not_found` when the mirror does not know the
 * suite, `unavailable` when it cannot be asked. The others are left out when they do not exist.
 */
export async function probeSources(sources: readonly AptSource[], signal: AbortSignal): Promise<AptSource[]> {
  const [main, ...others] = sources
  const statuses = await Promise.all([main!, ...others].map(source => probe(source, signal)))
  const status = statuses[0]!
  const what = `make an image of '${main!.suite}' from ${main!.uri}`
  if (status === 404) {
    const hint = "name a suite that the runner's mirror has, such as 'bookworm'"
    throw new Fault('not_found', 'bootstrap-no-suite', `${what}: the mirror has no such suite`, { hint })
  }
  if (status !== 200) {
    const answer = typeof status === 'number' ? `answered ${status}` : 'cannot be reached'
    const hint = "see whether 'apt-get update' works on the runner's host; it uses the same mirror"
    throw new Fault('unavailable', 'bootstrap-mirror-unreachable', `${what}: the mirror ${answer}`, {
      hint,
      cause: status,
    })
  }
  return sources.filter((_, index) => statuses[index] === 200)
}

/** The HTTP status, or the error when there is none. */
async function probe(source: AptSource, signal: AbortSignal): Promise<unknown> {
  try {
    const response = await fetch(`${source.uri}/dists/${source.suite}/Release`, {
      method: 'HEAD',
      signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
    })
    return response.status
  } catch (cause) {
    signal.throwIfAborted()
    return cause
  }
}
