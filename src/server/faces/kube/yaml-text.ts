// YAML at the border: one document, no tricks.
import { isAlias, isMap, isScalar, isSeq, type Node, parseDocument, visit } from 'yaml'
import { Fault } from '../../../lib/fault.ts'
import { type JsonText, MAX_DEPTH } from './json-text.ts'

/** Faults with `malformed` on what is no YAML, on aliases, custom tags, doubled keys, and on depth above 64. */
export function parseYamlText(text: string): JsonText {
  const document = parseDocument(text, { prettyErrors: false, schema: 'core', uniqueKeys: true })
  const error = document.errors[0] ?? document.warnings[0]
  if (error !== undefined) throw malformed('yaml-malformed', error.message)
  visit(document, {
    Alias: () => {
      throw malformed('yaml-alias', 'aliases are not taken')
    },
    Pair: (_, { key }) => {
      if (!isScalar(key)) throw malformed('yaml-key', 'a key is not a string')
      if (String(key.value) === '__proto__') throw malformed('yaml-proto', "'__proto__' is no key")
    },
  })
  checkDepth(document.contents, 1)
  return { value: document.toJS(), duplicates: [] }
}

function checkDepth(node: Node | null, depth: number): void {
  if (depth > MAX_DEPTH) throw malformed('yaml-depth', `nested deeper than ${MAX_DEPTH}`)
  if (isAlias(node) || node === null) return
  if (isSeq(node)) for (const item of node.items) checkDepth(item as Node | null, depth + 1)
  if (isMap(node)) for (const { value } of node.items) checkDepth(value as Node | null, depth + 1)
}

function malformed(code: string, why: string): Fault {
  return new Fault('malformed', code, `read the body: ${why}`, { hint: 'send one manifest in YAML or JSON' })
}
