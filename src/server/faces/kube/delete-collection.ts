// DELETE on a collection: everything that the selectors select, each object as its own deletion would be judged.
import { qualifiedName } from '../../../api/kinds/kind-names.ts'
import { type Kind, keyOf, type Resource } from '../../../api/resource.ts'
import { Fault, isFault } from '../../../lib/fault.ts'
import type { Access } from '../../access.ts'
import { mayEver } from '../../may-ever.ts'
import type { ListMeta } from './answers.ts'
import type { DeleteRequest } from './delete-options.ts'
import { integer, parseSelection, type Query } from './query.ts'
import { matchesSelectors } from './selectors.ts'
import type { Served } from './served.ts'

const MAX_LIMIT = 1_000_000
const REMOVALS_AT_ONCE = 16

/**
 * The objects as they are after it. Faults as one deletion does, and then nothing has been deleted: that the principal may
 * not delete one of them shows before the first is touched. Whatever goes by itself meanwhile is no fault.
 */
export async function deleteCollection(
  access: Access,
  served: Served,
  namespace: string | undefined,
  query: Query,
  { removal, dryRun }: DeleteRequest,
): Promise<{ readonly items: readonly Resource[]; readonly meta: ListMeta }> {
  checkMayEver(access, served, namespace ?? '')
  const { labels, fields, options } = parseSelection(query, served, namespace)
  const limit = integer(query, 'limit', MAX_LIMIT) ?? 0
  const from = query.get('continue') ?? ''
  const listing = await access.list(served.stored, {
    ...options,
    ...(limit === 0 ? {} : { limit }),
    ...(from === '' ? {} : { continue: from }),
  })
  const selected = listing.items.filter(item => matchesSelectors(item, labels, fields))
  const removeAll = (isTrial: boolean) =>
    inParallel(selected, item => {
      // The object that was listed, and not another one that has its name since.
      const { uid } = item.metadata
      return remove(access, item, { uid, ...removal }, isTrial)
    })
  const judged = await removeAll(true)
  const items = (dryRun ? judged : await removeAll(false)).filter(item => item !== undefined)
  const more = listing.continue === undefined ? {} : { continue: listing.continue }
  return { items, meta: { resourceVersion: listing.at, ...more } }
}

/** Of no objects, nobody's deletion is refused; but whoever may delete none is to hear so even then. */
function checkMayEver(
  { principal }: Access,
  { stored: kind, plural, group }: Served,
  namespace: string,
): void {
  const decision = mayEver({ principal, verb: 'delete', kind, namespace, scope: 'own' })
  if (decision.allow) return
  const message = `${qualifiedName({ plural, group })} is forbidden: delete all of them: ${decision.why}`
  const hint = 'ask an administrator of the organization'
  throw new Fault('forbidden', 'collection-denied', message, { hint, object: { kind: plural, group } })
}

async function remove(
  access: Access,
  item: Resource<Kind>,
  removal: DeleteRequest['removal'],
  dryRun: boolean,
): Promise<Resource | undefined> {
  try {
    return await access.remove(keyOf(item), removal, { dryRun })
  } catch (error) {
    if (isFault(error) && error.reason === 'not_found') return undefined
    throw error
  }
}

async function inParallel<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const rest = items.entries()
  const work = async () => {
    for (const [index, item] of rest) results[index] = await act(item)
  }
  await Promise.all(Array.from({ length: REMOVALS_AT_ONCE }, work))
  return results
}
