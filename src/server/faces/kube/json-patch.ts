// RFC 6902. A failed `test` is `invalid`, as Kubernetes has it; a patch that makes no sense is `malformed`.
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { Fault } from '../../../lib/fault.ts'
import { isObject } from './body.ts'
import { MAX_DEPTH } from './json-text.ts'

const MAX_OPERATIONS = 10_000
/** Kubernetes bounds them by what a body may hold: with 40 copies of a list into itself, a small patch fills any memory. */
const MAX_COPIED_LENGTH = 1 << 20
const pointer = z.string().regex(/^(\/.*)?$/s, 'not a JSON pointer')
const operationSchema = z.discriminatedUnion('op', [
  z
    .object({ op: z.enum(['add', 'replace', 'test']), path: pointer, value: z.unknown() })
    .refine(({ value }) => value !== undefined, 'a value is required'),
  z.object({ op: z.literal('remove'), path: pointer }),
  z.object({ op: z.enum(['move', 'copy']), path: pointer, from: pointer }),
])
const patchSchema = z.array(operationSchema)
type Operation = z.infer<typeof operationSchema>

/** The patched document; `target` stays as it is. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (Array.isArray(patch) && patch.length > MAX_OPERATIONS) {
    const message = `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`
    throw new Fault('too_large', 'json-patch-too-large', message)
  }
  const parsed = patchSchema.safeParse(patch)
  if (!parsed.success)
    throw new Fault(
      'malformed',
      'json-patch-malformed',
      `read the JSON patch: ${z.prettifyError(parsed.error)}`,
    )
  const copied = { length: 0 }
  try {
    const patched = parsed.data.reduce(
      (root, operation) => applyOperation(root, operation, copied),
      structuredClone(target),
    )
    if (depthOf(patched) <= MAX_DEPTH) return patched
  } catch (error) {
    // Moved into one another again and again, values get deeper than can be copied.
    if (!(error instanceof RangeError)) throw error
  }
  throw new Fault('invalid', 'json-patch-depth', `apply the JSON patch: nested deeper than ${MAX_DEPTH}`)
}

/** As far as it matters; without recursion, which is what is to be found out. */
function depthOf(value: unknown): number {
  let [depth, level] = [0, [value]]
  for (; depth <= MAX_DEPTH; depth++) {
    level = level.flatMap(each => (typeof each === 'object' && each !== null ? Object.values(each) : []))
    if (level.length === 0) return depth
  }
  return depth
}

function applyOperation(root: unknown, operation: Operation, copied: { length: number }): unknown {
  const path = parsePointer(operation.path)
  switch (operation.op) {
    case 'add':
      return put(root, path, operation.value, operation, true)
    case 'replace':
      get(root, path, operation)
      return put(root, path, operation.value, operation, false)
    case 'remove':
      return remove(root, path, operation)
    case 'test':
      if (isDeepStrictEqual(get(root, path, operation), operation.value)) return root
      throw new Fault(
        'invalid',
        'json-patch-test',
        `apply the JSON patch: the test of '${operation.path}' failed`,
      )
    case 'copy':
      return put(
        root,
        path,
        copyOf(get(root, parsePointer(operation.from), operation), copied),
        operation,
        true,
      )
    case 'move': {
      if (`${operation.path}/`.startsWith(`${operation.from}/`) && operation.path !== operation.from)
        throw absent(operation)
      const from = parsePointer(operation.from)
      const value = get(root, from, operation)
      return put(remove(root, from, operation), path, value, operation, true)
    }
  }
}

function copyOf(value: unknown, copied: { length: number }): unknown {
  const text = JSON.stringify(value)
  copied.length += text.length
  if (copied.length <= MAX_COPIED_LENGTH) return JSON.parse(text)
  throw new Fault(
    'invalid',
    'json-patch-copies',
    `apply the JSON patch: copies more than ${MAX_COPIED_LENGTH} bytes`,
  )
}

function parsePointer(text: string): string[] {
  return text
    .split('/')
    .slice(1)
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function get(root: unknown, path: readonly string[], operation: Operation): unknown {
  return path.reduce((value, key) => {
    if (Array.isArray(value)) return value[indexIn(value, key, operation, value.length - 1)]
    if (isObject(value) && Object.hasOwn(value, key)) return value[key]
    throw absent(operation)
  }, root)
}

function put(
  root: unknown,
  path: readonly string[],
  value: unknown,
  operation: Operation,
  insert: boolean,
): unknown {
  const key = path.at(-1)
  if (key === undefined) return value
  if (key === '__proto__') throw absent(operation)
  const parent = get(root, path.slice(0, -1), operation)
  if (Array.isArray(parent)) {
    const at = key === '-' && insert ? parent.length : indexIn(parent, key, operation, parent.length)
    parent.splice(at, insert ? 0 : 1, value)
  } else if (isObject(parent)) parent[key] = value
  else throw absent(operation)
  return root
}

function remove(root: unknown, path: readonly string[], operation: Operation): unknown {
  get(root, path, operation)
  const key = path.at(-1)
  // Nothing is left to patch, nor to store.
  if (key === undefined) throw absent(operation)
  const parent = get(root, path.slice(0, -1), operation)
  if (Array.isArray(parent)) parent.splice(indexIn(parent, key, operation, parent.length - 1), 1)
  else if (isObject(parent)) delete parent[key]
  return root
}

function indexIn(list: readonly unknown[], key: string, operation: Operation, last: number): number {
  const index = /^(0|[1-9][0-9]{0,8})$/.test(key) ? Number(key) : -1
  if (index < 0 || index > last || list === undefined) throw absent(operation)
  return index
}

function absent(operation: Operation): Fault {
  const message = `apply the JSON patch: ${operation.op} '${operation.path}': there is no such place`
  return new Fault('invalid', 'json-patch-path', message)
}
