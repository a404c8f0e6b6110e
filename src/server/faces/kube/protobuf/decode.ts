// Protobuf messages as the JSON that says the same.
import { parseJsonText } from '../json-text.ts'
import type { Field, Message } from './messages.ts'
import { malformed, readFields, type WireField } from './reader.ts'

type Json = Record<string, unknown>

/**
 * The message as JSON. Zero values of plain fields are left out, as Go leaves them out of its JSON. Faults with
 * `malformed`.
 */
export function decode(message: Message, bytes: Buffer): Json {
  const decoded: Json = {}
  for (const wire of readFields(bytes)) {
    const field = message.fields.get(wire.number)
    if (field === undefined) continue
    const value = valueOf(field, wire)
    const { name } = field
    // Into what is there already: copying it each time would make long lists slow.
    if (field.repeated) ((decoded[name] ??= []) as unknown[]).push(value)
    else if (field.type === 'stringMap') Object.assign((decoded[name] ??= {}) as Json, value)
    else if (value === undefined) delete decoded[name]
    else decoded[name] = value
  }
  return decoded
}

function valueOf({ name, type, repeated }: Field, wire: WireField): unknown {
  if (type === 'bool' || type === 'int' || type === 'presentInt') {
    if (wire.wire !== 'varint') throw malformed(`${name} is no number`)
    if (type === 'bool') return wire.value !== 0n
    const number = integer(name, wire.value)
    return type === 'int' && number === 0 ? undefined : number
  }
  if (wire.wire !== 'bytes') throw malformed(`${name} is not what it should be`)
  const bytes = wire.value
  if (type === 'string') return utf8(name, bytes) || (repeated ? '' : undefined)
  if (type === 'stringMap') return entry(name, bytes)
  if (type === 'json') return document(name, bytes)
  if (type === 'time') return time(name, bytes, 0)
  if (type === 'microTime') return time(name, bytes, 6)
  return decode(type, bytes)
}

function integer(name: string, value: bigint): number {
  const number = Number(BigInt.asIntN(64, value))
  if (!Number.isSafeInteger(number)) throw malformed(`${name} is too large a number`)
  return number
}

function utf8(name: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw malformed(`${name} is not UTF-8`, cause)
  }
}

/** One pair of a map. */
function entry(name: string, bytes: Buffer): Json {
  const pair = { key: '', value: '' }
  for (const wire of readFields(bytes)) {
    if (wire.number !== 1 && wire.number !== 2) continue
    if (wire.wire !== 'bytes') throw malformed(`${name} is no map of text`)
    pair[wire.number === 1 ? 'key' : 'value'] = utf8(name, wire.value)
  }
  if (pair.key === '__proto__') throw malformed("'__proto__' is no key")
  return { [pair.key]: pair.value }
}

/** A message around the text of a JSON document. */
function document(name: string, bytes: Buffer): unknown {
  for (const wire of readFields(bytes))
    if (wire.number === 1 && wire.wire === 'bytes') return parseJsonText(utf8(name, wire.value)).value
  return undefined
}

/** Seconds and nanoseconds since 1970; nothing at all stands for no time. */
function time(name: string, bytes: Buffer, decimals: 0 | 6): string | undefined {
  const parts = { seconds: 0, nanos: 0 }
  for (const wire of readFields(bytes)) {
    if (wire.number !== 1 && wire.number !== 2) continue
    if (wire.wire !== 'varint') throw malformed(`${name} is no time`)
    parts[wire.number === 1 ? 'seconds' : 'nanos'] = integer(name, wire.value)
  }
  if (bytes.length === 0) return undefined
  const date = new Date(parts.seconds * 1000)
  const year = date.getUTCFullYear()
  if (!(year >= 1 && year <= 9999) || parts.nanos < 0 || parts.nanos >= 1e9)
    throw malformed(`${name} is no time`)
  const fraction = decimals === 0 ? '' : `.${String(Math.floor(parts.nanos / 1000)).padStart(6, '0')}`
  return `${date.toISOString().slice(0, 19)}${fraction}Z`
}
