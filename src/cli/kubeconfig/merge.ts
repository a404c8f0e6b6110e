// Puts our entries into a kubeconfig that others use as well. Pure; `file.ts` reads and writes it.
import { type Document, isMap, isScalar, isSeq, Scalar, type YAMLMap, type YAMLSeq } from 'yaml'
import { jsonEqual } from '../../api/json-equal.ts'
import { currentContext, findEntry, isNothing, parseKubeconfig, type Section } from './document.ts'
import type { Entries } from './entries.ts'

export interface MergeOptions {
  /** Make ours the current context whatever is current now. It becomes so anyway when none is. */
  readonly use: boolean
  /** The namespace was asked for; otherwise the one that somebody chose with kubectl stays. */
  readonly setNamespace: boolean
  /** A file that kubectl reads besides has a current context. */
  readonly hasCurrentElsewhere: boolean
}

export interface Merged {
  readonly text: string
  readonly what: 'added' | 'updated' | 'unchanged'
  /** Ours is this file's current context. */
  readonly isCurrent: boolean
}

/**
 * `text` with the cluster, user and context of `entries` in it; whatever else is there stays, comments too. Faults with
 * `malformed`; `path` is for the message.
 */
export function mergeKubeconfig(text: string, path: string, entries: Entries, options: MergeOptions): Merged {
  const document = parseKubeconfig(text, path)
  const before: unknown = document.toJS({ maxAliasCount: 100 })
  const existed = findEntry(document, 'contexts', entries.name) !== undefined
  for (const [field, value] of [
    ['apiVersion', 'v1'],
    ['kind', 'Config'],
  ] as const)
    if (isNothing(document.get(field, true))) document.set(field, value)
  mergeCluster(document, entries)
  mergeContext(document, entries, options.setNamespace)
  const current = currentContext(document)
  if (options.use || (current === undefined && !options.hasCurrentElsewhere))
    document.set('current-context', node(document, entries.name))
  mergeUser(document, entries)
  const isCurrent = currentContext(document) === entries.name
  if (jsonEqual(before, document.toJS({ maxAliasCount: 100 }))) return { text, what: 'unchanged', isCurrent }
  return { text: format(document, text), what: existed ? 'updated' : 'added', isCurrent }
}

function mergeCluster(document: Document, { name, cluster }: Entries): void {
  const map = innerMap(document, 'clusters', 'cluster', name)
  setAll(document, map, cluster)
  // What speaks of trust speaks of the server that was there before.
  const stale = ['certificate-authority', 'insecure-skip-tls-verify', 'tls-server-name']
  for (const key of cluster['certificate-authority-data'] === undefined
    ? [...stale, 'certificate-authority-data']
    : stale)
    map.delete(key)
}

function mergeContext(document: Document, { name, context }: Entries, setNamespace: boolean): void {
  const map = innerMap(document, 'contexts', 'context', name)
  const { namespace, ...rest } = context
  setAll(document, map, rest)
  if (setNamespace || isNothing(map.get('namespace', true))) setAll(document, map, { namespace })
}

/** All of it is ours: credentials of another kind would be used instead, or beside. */
function mergeUser(document: Document, { name, user }: Entries): void {
  const map = innerMap(document, 'users', 'user', name)
  for (const { key } of [...map.items]) if (String(key) !== 'exec') map.delete(key)
  setAll(document, map, user)
}

/** The map below `field` of the entry of that name, made where it is missing. */
function innerMap(document: Document, section: Section, field: string, name: string): YAMLMap {
  let entry = findEntry(document, section, name)
  if (entry === undefined) {
    entry = document.createNode({ [field]: {}, name: node(document, name) }) as YAMLMap
    listOf(document, section).add(entry)
  }
  const inner: unknown = entry.get(field, true)
  if (isMap(inner)) {
    if (inner.items.length === 0) inner.flow = false
    return inner
  }
  const made = document.createNode({}) as YAMLMap
  made.flow = false
  entry.set(field, made)
  return made
}

function listOf(document: Document, section: Section): YAMLSeq {
  const list: unknown = document.get(section, true)
  if (isSeq(list)) {
    // `clusters: []`, as kubectl leaves it.
    if (list.items.length === 0) list.flow = false
    return list
  }
  const made = document.createNode([]) as YAMLSeq
  made.flow = false
  document.set(section, made)
  return made
}

function setAll(document: Document, map: YAMLMap, values: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(values)) {
    const wanted = node(document, value)
    const is: unknown = map.get(key, true)
    if (!jsonEqual(withoutNothing(is), wanted.toJS(document))) map.set(key, wanted)
  }
}

/** The value of a node; of a map without what is null, which kubectl writes for what is absent. */
function withoutNothing(node: unknown): unknown {
  if (isScalar(node)) return node.value
  if (isSeq(node)) return node.items.map(withoutNothing)
  if (!isMap(node)) return undefined
  const entries = node.items.filter(({ value }) => !isNothing(value))
  return Object.fromEntries(entries.map(({ key, value }) => [String(key), withoutNothing(value)]))
}

// What no reader of YAML 1.1 or 1.2 takes for anything but text.
const PLAIN = /^(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z/][\w./:-]*$/i

function node(document: Document, value: unknown): ReturnType<Document['createNode']> {
  return document.createNode(value, (_key, inner: unknown) => {
    if (typeof inner === 'boolean') return String(inner)
    if (typeof inner !== 'string' || (PLAIN.test(inner) && !inner.endsWith(':'))) return inner
    const scalar = new Scalar(inner)
    scalar.type = Scalar.QUOTE_DOUBLE
    return scalar
  })
}

/** Lists as they are in the file; as kubectl writes them in a new one. Long lines stay long. */
function format(document: Document, before: string): string {
  const isIndented = /^(?:clusters|contexts|users):[^\n]*\n +- /m.test(before)
  return document.toString({ lineWidth: 0, indentSeq: isIndented })
}
