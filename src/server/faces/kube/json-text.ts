// JSON at the border. `JSON.parse` alone forgives two things that people and programs get wrong: a key that is written
// twice (the last one silently wins), and depth without bound.
import { Fault } from '../../../lib/fault.ts'

/** Deeper nesting is refused. */
export const MAX_DEPTH = 64

export interface JsonText {
  readonly value: unknown
  /** Paths of keys that stand twice in one object, e.g. `spec.image`. */
  readonly duplicates: readonly string[]
}

const MAX_DUPLICATES = 32
const MAX_PATH_LENGTH = 256

/** Bounded, because a small body can name many keys twice, each below a long path. */
export class Duplicates {
  readonly #paths: string[] = []

  add(path: string): void {
    if (this.#paths.length < MAX_DUPLICATES) this.#paths.push(path.slice(0, MAX_PATH_LENGTH))
  }

  /** The first of them; long ones are cut. */
  get paths(): readonly string[] {
    return this.#paths
  }
}

/** Faults with `malformed` on what is no JSON, is nested deeper than 64, or has a key `__proto__`. */
export function parseJsonText(text: string): JsonText {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw malformed('json-malformed', `read the body: ${(cause as Error).message}`, cause)
  }
  return { value, duplicates: scan(text) }
}

interface Frame {
  /** Keys seen; absent for arrays. */
  readonly keys: Set<string> | undefined
  readonly path: string
  key: string
  index: number
}

// The text is known to be valid JSON here, so that the scan only has to find keys, and where it stands.
function scan(text: string): readonly string[] {
  const duplicates = new Duplicates()
  const stack: Frame[] = []
  const here = (frame: Frame) => join(frame.path, frame.keys === undefined ? `[${frame.index}]` : frame.key)
  let expectKey = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    const top = stack.at(-1)
    if (char === '"') {
      const end = endOfString(text, at)
      if (expectKey && top?.keys !== undefined) {
        const key = JSON.parse(text.slice(at, end + 1)) as string
        if (key === '__proto__') throw malformed('json-proto', "read the body: '__proto__' is no key")
        top.key = key
        if (top.keys.has(key)) duplicates.add(here(top))
        top.keys.add(key)
        expectKey = false
      }
      at = end
    } else if (char === '{' || char === '[') {
      if (stack.length === MAX_DEPTH)
        throw malformed('json-depth', `read the body: nested deeper than ${MAX_DEPTH}`)
      const path = top === undefined ? '' : here(top)
      stack.push({ keys: char === '{' ? new Set() : undefined, path, key: '', index: 0 })
      expectKey = char === '{'
    } else if (char === '}' || char === ']') {
      stack.pop()
      expectKey = false
    } else if (char === ',' && top !== undefined) {
      top.index++
      expectKey = top.keys !== undefined
    }
  }
  return duplicates.paths
}

function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

function join(path: string, part: string): string {
  return path === '' || part.startsWith('[') ? path + part : `${path}.${part}`
}

function malformed(code: string, message: string, cause?: unknown): Fault {
  return new Fault('malformed', code, message, { cause, hint: 'send one JSON object' })
}
