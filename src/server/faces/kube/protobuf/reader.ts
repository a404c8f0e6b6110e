// Reading protobuf's wire format. Bounded by the bytes there are: every step takes at least one, and lengths are
// checked before anything is taken.
import { Fault } from '../../../../lib/fault.ts'

/** A field as it stands on the wire. Fixed-width numbers are known by none of our messages and only skipped. */
export type WireField =
  | { readonly number: number; readonly wire: 'varint'; readonly value: bigint }
  | { readonly number: number; readonly wire: 'bytes'; readonly value: Buffer }
  | { readonly number: number; readonly wire: 'fixed' }

/** Varints hold 64 bits, seven to a byte. */
const MAX_VARINT_BYTES = 10

/** Faults with `malformed` when the bytes are no message. */
export function* readFields(bytes: Buffer): Generator<WireField> {
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let count = 0; count < MAX_VARINT_BYTES; count++) {
      const byte = bytes[at++]
      if (byte === undefined) throw malformed('it ends within a number')
      value |= BigInt(byte & 0x7f) << BigInt(7 * count)
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
    throw malformed('a number is longer than 64 bits')
  }
  const take = (length: bigint): Buffer => {
    if (length > BigInt(bytes.length - at)) throw malformed('a field is longer than what is left')
    const start = at
    at += Number(length)
    return bytes.subarray(start, at)
  }
  while (at < bytes.length) {
    const key = varint()
    const wireType = Number(key & 7n)
    const number = Number(key >> 3n)
    if (number === 0 || number > 0x1fffffff) throw malformed(`${number} is no field number`)
    if (wireType === 0) yield { number, wire: 'varint', value: varint() }
    else if (wireType === 2) yield { number, wire: 'bytes', value: take(varint()) }
    else if (wireType === 1 || wireType === 5) {
      take(wireType === 1 ? 8n : 4n)
      yield { number, wire: 'fixed' }
    } else throw malformed(`wire type ${wireType} is not in use`)
  }
}

export function malformed(why: string, cause?: unknown): Fault {
  const hint = 'send the object as application/json'
  return new Fault('malformed', 'protobuf-malformed', `read the protobuf body: ${why}`, { hint, cause })
}
