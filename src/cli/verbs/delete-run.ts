import { describeKey, type Key, keyOf, type Resource } from '../../api/resource.ts'
import { Fault, isFault } from '../../lib/fault.ts'
import { readManifests } from '../apply/read-manifests.ts'
import type { Deps, Session } from '../deps.ts'
import { raise } from '../output/fault.ts'
import { oneLine } from '../output/text.ts'
import { keyIn, parseTargets } from '../targets.ts'
import { openDisplay } from '../wait/display.ts'
import { follow } from '../wait/follow.ts'
import { deleting } from '../wait/outcome.ts'
import type { DeleteOptions } from './delete.ts'

export async function runDelete(
  session: Session,
  deps: Deps,
  words: readonly string[],
  options: DeleteOptions,
): Promise<void> {
  const asked: { readonly key: Key; readonly isGone: boolean; readonly gone: () => Promise<void> }[] = []
  // What cannot be deleted keeps nothing else from being deleted, and said to be.
  const failures: unknown[] = []
  for (const key of await keysOf(session, deps, words, options)) {
    try {
      const removal = await remove(session, deps, key, options)
      if (removal !== undefined) asked.push({ key, ...removal })
    } catch (error) {
      failures.push(error)
    }
  }
  for (const { key, isGone, gone } of asked) {
    if (options.wait && !isGone) await gone()
    deps.stdout.write(
      `${oneLine(describeKey(key))} ${options.wait || isGone ? 'deleted' : 'is being deleted'}\n`,
    )
  }
  raise(failures, deps)
}

async function keysOf(
  session: Session,
  deps: Deps,
  words: readonly string[],
  { filename }: DeleteOptions,
): Promise<Key[]> {
  const { namespace } = session
  if (filename !== undefined && words.length === 0) {
    const manifests = await readManifests(filename, deps)
    return manifests.map(each => keyIn(each.kind, each.name, each.namespace ?? namespace))
  }
  const targets = words.length === 0 ? [] : parseTargets(words)
  const keys = targets.flatMap(({ kind, names }) => names.map(name => keyIn(kind, name, namespace)))
  if (filename === undefined && keys.length > 0) return keys
  throw new Fault(
    'invalid',
    'delete-what',
    'delete: name the objects, or give files with -f, not both or neither',
    {
      hint: 'bothy delete KIND NAME',
    },
  )
}

async function remove(session: Session, deps: Deps, key: Key, options: DeleteOptions) {
  try {
    const known = await session.store.remove(key)
    const isGone = known.metadata.deletionTimestamp === undefined
    return { isGone, gone: () => awaitGone(session, deps, key, known) }
  } catch (error) {
    if (options.ignoreNotFound === true && isFault(error) && error.reason === 'not_found') return undefined
    throw error
  }
}

async function awaitGone(session: Session, deps: Deps, key: Key, known: Resource): Promise<void> {
  const display = openDisplay(deps)
  try {
    display.show([], waitingFor(known))
    for await (const object of follow(session.store, key, deps, known)) {
      if (object === undefined) return
      display.show([], waitingFor(object))
    }
  } finally {
    display.close()
  }
}

function waitingFor(object: Resource): string {
  return `${describeKey(keyOf(object))}: ${deleting(object)}`
}
