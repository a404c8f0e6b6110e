// The contexts file as people write it.
import { type Document, isNode, parseDocument } from 'yaml'
import { Fault } from '../../lib/fault.ts'
import { type Config, checkConfig, type Wrong } from './contexts.ts'

/** Faults with `malformed`, naming the line, or the field. `path` is for the message. */
export function parseYamlConfig(text: string, path: string): Config {
  const document = parseDocument(text, { prettyErrors: false })
  const error = document.errors[0]
  const hint = `correct the file, or move it away and run 'bothy up' for a new one`
  if (error !== undefined) {
    const line = text.slice(0, error.pos[0]).split('\n').length
    throw new Fault('malformed', 'config-malformed', `read ${path}: line ${line}: ${error.message}`, { hint })
  }
  const wrong: Wrong = (fieldPath, why) => {
    const line = text.slice(0, offsetOf(document, fieldPath)).split('\n').length
    const field = fieldPath.length === 0 ? '' : `${fieldPath.join('.')}: `
    return new Fault('malformed', 'config-invalid', `read ${path}: line ${line}: ${field}${why}`, { hint })
  }
  return checkConfig(document.toJS({ maxAliasCount: 100 }) ?? {}, wrong)
}

/** Where the node at `path` begins, or the nearest around it: what is missing stands nowhere. */
function offsetOf(document: Document, path: readonly unknown[]): number {
  for (let depth = path.length; depth > 0; depth--) {
    const node: unknown = document.getIn(path.slice(0, depth), true)
    if (isNode(node) && Array.isArray(node.range)) return node.range[0]
  }
  return 0
}
