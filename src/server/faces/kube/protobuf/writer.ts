// Writing protobuf's wire format: a message is its fields, one after the other.

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2

/** A message or a part of one; parts are joined by putting them one after the other. */
export type Bytes = Buffer

export const join = (...parts: readonly Bytes[]): Bytes => Buffer.concat(parts)

/** Nothing for what is absent, and for false, which absent means. */
export function bool(field: number, value: unknown): Bytes {
  return value === true ? join(key(field, VARINT), varint(1)) : NONE
}

/** For numbers from 0 to 2^53 - 1. */
export function uint(field: number, value: unknown): Bytes {
  return typeof value === 'number' && value !== 0 ? join(key(field, VARINT), varint(value)) : NONE
}

export function double(field: number, value: unknown): Bytes {
  if (typeof value !== 'number' || value === 0) return NONE
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return join(key(field, FIXED64), bytes)
}

/** Nothing for what is no string, and for the empty one, which absent means. */
export function string(field: number, value: unknown): Bytes {
  return typeof value === 'string' && value !== '' ? message(field, Buffer.from(value)) : NONE
}

export function strings(field: number, values: unknown): Bytes {
  return Array.isArray(values) ? join(...values.map(each => message(field, Buffer.from(String(each))))) : NONE
}

/** A message within a message; nothing when absent, but an empty one is something. */
export function message(field: number, content: Bytes | undefined): Bytes {
  return content === undefined ? NONE : join(key(field, LENGTH), varint(content.length), content)
}

const NONE: Bytes = Buffer.alloc(0)

function key(field: number, wireType: number): Bytes {
  return varint(field * 8 + wireType)
}

function varint(value: number): Bytes {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80)
  bytes.push(rest)
  return Buffer.from(bytes)
}
