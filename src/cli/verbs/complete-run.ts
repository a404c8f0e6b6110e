import type { Command } from 'commander'
import type { Millis } from '../../lib/clock.ts'
import { type Candidates, findCandidates } from '../completion/candidates.ts'
import { FILES_MARK } from '../completion/scripts.ts'
import { type Invocation, withSession } from '../invocation.ts'

// Nobody waits longer for a key press.
const PATIENCE_MS: Millis = 2_000

/** Prints one candidate on each line. Says nothing about errors: a shell in the middle of a line has no place for them. */
export async function runComplete(
  program: Command,
  invocation: Invocation,
  line: readonly string[],
): Promise<void> {
  const candidates = findCandidates(program, line)
  const found = await resolveCandidates(candidates, invocation)
  invocation.deps.stdout.write(found.map(word => `${word}\n`).join(''))
}

async function resolveCandidates(candidates: Candidates, invocation: Invocation): Promise<readonly string[]> {
  switch (candidates.kind) {
    case 'words':
      return candidates.words
    case 'files':
      return [FILES_MARK]
    case 'kinds': {
      const { KIND_NAMES } = await import('../../api/kinds/kind-names.ts')
      return Object.values(KIND_NAMES).map(({ plural }) => plural)
    }
    case 'names':
      return names(candidates, invocation)
  }
}

async function names(
  { of, prefix }: { readonly of: string; readonly prefix: string },
  invocation: Invocation,
): Promise<readonly string[]> {
  const { findKind } = await import('../../api/kinds/kind-names.ts')
  const kind = findKind(of)
  if (kind === undefined) return []
  const { clock, signal } = invocation.deps
  const patience = clock.sleep(PATIENCE_MS, signal).then(
    () => [],
    () => [],
  )
  const asked = withSession(invocation, {}, async session => {
    const { items } = await session.store.list(kind, { namespace: session.namespace })
    return items.map(({ metadata }) => `${prefix}${metadata.name}`)
  })
  return Promise.race([asked, patience]).then(
    found => found.filter(isHarmless),
    // No server, no context, no token: then there are no names to offer.
    () => [],
  )
}

// Names are offered to a shell; what could not be the name of an object is no name.
function isHarmless(word: string): boolean {
  return /^[a-zA-Z0-9./-]+$/.test(word)
}
