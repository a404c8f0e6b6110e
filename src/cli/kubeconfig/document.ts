// A kubeconfig as a document that can be changed without disturbing what others wrote into it. Every scalar is text
// here: what is not ours is never understood, so it cannot be misunderstood (a namespace `007` is not the number 7).
import { type Document, isMap, isScalar, isSeq, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml'
import { Fault } from '../../lib/fault.ts'

export const SECTIONS = ['clusters', 'contexts', 'users'] as const
export type Section = (typeof SECTIONS)[number]

/** Faults with `malformed`, naming the line. `path` is for the message. An empty text is an empty map. */
export function parseKubeconfig(text: string, path: string): Document {
  const document: Document = parseDocument(text, { prettyErrors: false, schema: 'failsafe' })
  const wrong = (offset: number, why: string) =>
    new Fault(
      'malformed',
      'kubeconfig-malformed',
      `read kubeconfig ${path}: line ${text.slice(0, offset).split('\n').length}: ${why}`,
      { hint: "correct it, 'kubectl config view' shows whether it is right; or name another file" },
    )
  const [error] = document.errors
  if (error !== undefined) throw wrong(error.pos[0], error.message)
  if (isNothing(document.contents)) document.contents = document.createNode({})
  const root = document.contents
  if (!isMap(root)) throw wrong(root?.range?.[0] ?? 0, 'must have fields')
  const kind = root.get('kind')
  if (kind !== undefined && kind !== 'Config')
    throw wrong(offsetOf(root, 'kind'), `kind must be Config, not ${String(kind)}`)
  for (const section of SECTIONS) {
    const list = root.get(section, true)
    if (isNothing(list)) continue
    if (!isSeq(list)) throw wrong(offsetOf(root, section), `${section} must be a list`)
    const alien = list.items.find(item => !isMap(item))
    if (alien !== undefined)
      throw wrong((alien as { range?: [number] }).range?.[0] ?? 0, `${section} must have fields`)
  }
  return document
}

/** The entry of that name; in a file with several, the first. */
export function findEntry(document: Document, section: Section, name: string): YAMLMap | undefined {
  const list: unknown = document.get(section, true)
  if (!isSeq(list)) return undefined
  return (list as YAMLSeq<YAMLMap>).items.find(item => item.get('name') === name)
}

export function currentContext(document: Document): string | undefined {
  const node: unknown = document.get('current-context', true)
  return isScalar(node) && !isNothing(node) ? String(node.value) : undefined
}

/** Absent, empty, or null, however it is spelt. */
export function isNothing(node: unknown): boolean {
  if (node === undefined || node === null) return true
  if (!isScalar(node)) return false
  if (node.value === null) return true
  const isPlain = node.type === undefined || node.type === 'PLAIN'
  return node.value === '' || (isPlain && /^(~|null|Null|NULL)$/.test(String(node.value)))
}

function offsetOf(map: YAMLMap, key: string): number {
  const node = map.get(key, true) as { range?: [number, number, number] } | undefined
  return node?.range?.[0] ?? 0
}
