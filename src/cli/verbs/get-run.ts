import { namesOf } from '../../api/kinds/kind-names.ts'
import type { Kind, Resource } from '../../api/resource.ts'
import type { ListOptions } from '../../core/store.ts'
import { Fault } from '../../lib/fault.ts'
import type { Deps, Session } from '../deps.ts'
import { lastSeen } from '../explain/events.ts'
import { getResource } from '../get-resource.ts'
import { asWritten, listOf, printResources, printValue } from '../output/formats.ts'
import { keyIn, parseTargets, type Target } from '../targets.ts'
import { watchScope } from '../wait/watch-scope.ts'
import type { GetOptions } from './get.ts'

export async function runGet(
  session: Session,
  deps: Deps,
  words: readonly string[],
  options: GetOptions,
): Promise<void> {
  const targets = parseTargets(words)
  if (options.watch === true) return watch(session, deps, targets, options)
  const byKind = new Map<Kind, Resource[]>()
  for (const { kind, names } of targets) {
    const found = byKind.get(kind) ?? []
    byKind.set(kind, found)
    if (names.length === 0) found.push(...(await listSorted(session, kind, scopeOf(session, kind, options))))
    for (const name of names)
      found.push(await getResource(session.store, keyIn(kind, name, session.namespace)))
  }
  await print(deps, byKind, targets, options)
}

async function print(
  deps: Deps,
  byKind: ReadonlyMap<Kind, readonly Resource[]>,
  targets: readonly Target[],
  { output, allNamespaces, showManagedFields }: GetOptions,
): Promise<void> {
  const all = [...byKind.values()].flat()
  if (output === 'json' || output === 'yaml') {
    const isSingle = all.length === 1 && targets.every(target => target.names.length > 0)
    return printValue(listOf(all, isSingle, showManagedFields), output, deps)
  }
  for (const [kind, objects] of byKind) {
    if (objects.length === 0 && output !== 'name') {
      deps.stderr.write(`No ${namesOf(kind).plural} found.\n`)
      continue
    }
    await printResources(kind, objects, output, { ...deps, withNamespace: allNamespaces === true })
  }
}

async function listSorted(session: Session, kind: Kind, scope: ListOptions): Promise<Resource[]> {
  const { items } = await session.store.list(kind, scope)
  // Events are read as a story, everything else is looked up.
  if (kind === 'Event')
    return (items as Resource<'Event'>[]).toSorted((a, b) => lastSeen(a) - lastSeen(b)) as Resource[]
  const order = ({ metadata }: Resource) => `${metadata.namespace ?? ''}/${metadata.name}`
  return items.toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
}

function scopeOf(
  session: Session,
  kind: Kind,
  { allNamespaces, selector, fieldSelector }: GetOptions,
): ListOptions {
  const hasNamespace = namesOf(kind).namespaced && allNamespaces !== true
  return {
    ...(hasNamespace ? { namespace: session.namespace } : {}),
    ...(selector === undefined ? {} : { labels: parseEqualities(selector, '--selector') }),
    ...(fieldSelector === undefined ? {} : { fields: parseEqualities(fieldSelector, '--field-selector') }),
  }
}

/** `a=b,c=d`, also with `==`. Faults with `invalid`. */
export function parseEqualities(text: string, option: string): Record<string, string> {
  const pairs = text.split(',').map(part => {
    const match = /^\s*([^=!\s]+)\s*==?\s*([^=!\s]*)\s*$/.exec(part)
    if (match !== null) return [match[1]!, match[2]!] as const
    throw new Fault('invalid', 'selector-invalid', `${option} '${text}': '${part}' is not KEY=VALUE`)
  })
  return Object.fromEntries(pairs)
}

async function watch(
  session: Session,
  deps: Deps,
  targets: readonly Target[],
  options: GetOptions,
): Promise<void> {
  const [target, ...more] = targets
  if (target === undefined || more.length > 0 || target.names.length > 1) {
    throw new Fault('invalid', 'watch-one', 'watch: one kind, or one object, at a time')
  }
  const { kind, names } = target
  const [name] = names
  const scope = scopeOf(session, kind, options)
  const narrowed =
    name === undefined ? scope : { ...scope, fields: { ...scope.fields, 'metadata.name': name } }
  // A name that is not there is more likely mistyped than awaited.
  if (name !== undefined) await getResource(session.store, keyIn(kind, name, session.namespace))
  let isFirst = true
  const widths: number[] = []
  for await (const changed of watchScope(session.store, kind, narrowed, deps)) {
    await printChange(deps, kind, changed, options, widths, isFirst)
    isFirst = false
  }
}

async function printChange(
  deps: Deps,
  kind: Kind,
  objects: readonly Resource[],
  { output, allNamespaces, showManagedFields }: GetOptions,
  widths: number[],
  isFirst: boolean,
): Promise<void> {
  if (output === 'json' || output === 'yaml') {
    for (const object of objects) {
      if (output === 'yaml') deps.stdout.write('---\n')
      await printValue(asWritten(object, showManagedFields), output, deps)
    }
    return
  }
  let text = ''
  const collect = {
    ...deps,
    stdout: Object.assign(Object.create(deps.stdout), { write: (part: string) => (text += part) }),
  }
  await printResources(kind, objects, output, { ...collect, withNamespace: allNamespaces === true, widths })
  const isTable = output === 'table' || output === 'wide'
  deps.stdout.write(isTable && !isFirst ? text.slice(text.indexOf('\n') + 1) : text)
}
