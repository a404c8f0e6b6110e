// YAML at the border: one document, no tricks.
import { isAlias, isMap, isScalar, isSeq, type Node, parseDocument, visit } from 'yaml'
import { Fault } from '../../../lib/fault.ts'
import { Duplicates, type JsonText, MAX_DEPTH } from './json-text.ts'

// The parser takes up to 8 µs for a character (`[a,a,a…`), while everybody else waits. Clients send JSON, which is as
// good here and as fast as it gets.
const MAX_LENGTH = 128 * 1024

/** Faults with `too_large` above 128 KiB; with `malformed` on what is no YAML, on aliases, custom tags, and on depth above 64. */
export function parseYamlText(text: string): JsonText {
  if (text.length > MAX_LENGTH)
    throw new Fault(
      'too_large',
      'yaml-too-large',
      `read the body: YAML of more than ${MAX_LENGTH} characters`,
      {
        hint: 'send it as JSON, which may be larger',
      },
    )
  // The parser looks for doubled keys by comparing each with all before it: 25 s for a map of 40,000. See below.
  const document = parseDocument(text, { prettyErrors: false, schema: 'core', uniqueKeys: false })
  const error = document.errors[0] ?? document.warnings[0]
  if (error !== undefined) throw malformed('yaml-malformed', error.message)
  // First of all: the other steps descend too.
  const duplicates = new Duplicates()
  inspect(document.contents, '', 1, duplicates)
  visit(document, {
    Alias: () => {
      throw malformed('yaml-alias', 'aliases are not taken')
    },
    Pair: (_, { key }) => {
      if (!isScalar(key)) throw malformed('yaml-key', 'a key is not a string')
      if (String(key.value) === '__proto__') throw malformed('yaml-proto', "'__proto__' is no key")
    },
  })
  return { value: document.toJS(), duplicates: duplicates.paths }
}

/** Checks the depth, and finds keys that stand twice in one map. */
function inspect(node: Node | null, path: string, depth: number, duplicates: Duplicates): void {
  if (depth > MAX_DEPTH) throw malformed('yaml-depth', `nested deeper than ${MAX_DEPTH}`)
  if (isAlias(node) || node === null) return
  if (isSeq(node))
    for (const [index, item] of node.items.entries())
      inspect(item as Node | null, `${path}[${index}]`, depth + 1, duplicates)
  if (!isMap(node)) return
  const keys = new Set<string>()
  for (const { key, value } of node.items) {
    if (!isScalar(key)) throw malformed('yaml-key', 'a key is not a string')
    const name = String(key.value)
    const here = path === '' ? name : `${path}.${name}`
    if (keys.has(name)) duplicates.add(here)
    keys.add(name)
    inspect(value as Node | null, here, depth + 1, duplicates)
  }
}

function malformed(code: string, why: string): Fault {
  return new Fault('malformed', code, `read the body: ${why}`, { hint: 'send one manifest in YAML or JSON' })
}
