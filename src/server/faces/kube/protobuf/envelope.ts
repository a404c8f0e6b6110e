// Bodies of the media type `application/vnd.kubernetes.protobuf`, which newer clients send for the kinds that they have
// compiled in: four bytes that say so, and an envelope (`runtime.Unknown`) that names the kind of what is inside.
import { Fault } from '../../../../lib/fault.ts'
import { decode } from './decode.ts'
import { messageOf, TYPE_META } from './messages.ts'
import { malformed, readFields } from './reader.ts'

export const PROTOBUF = 'application/vnd.kubernetes.protobuf'
const MAGIC = Buffer.from('k8s\0', 'latin1')

/** The object as JSON. Faults with `malformed`, and with `unsupported_media_type` for kinds not known in this form. */
export function decodeObject(body: Buffer): Record<string, unknown> {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) throw malformed("it does not begin with 'k8s'")
  const { type, content } = open(body.subarray(MAGIC.length))
  const { apiVersion, kind } = decode(TYPE_META, type)
  const message = messageOf(String(apiVersion ?? ''), String(kind ?? ''))
  if (message === undefined) {
    const what = `${String(apiVersion)} ${String(kind)}`.slice(0, 200)
    throw unsupported(`${what} is not known in this form`)
  }
  return { apiVersion, kind, ...decode(message, content) }
}

function open(bytes: Buffer): { type: Buffer; content: Buffer } {
  const parts = new Map<number, Buffer>()
  for (const wire of readFields(bytes)) {
    if (wire.number > 4) continue
    if (wire.wire !== 'bytes') throw malformed('the envelope is not one')
    parts.set(wire.number, wire.value)
  }
  const none = Buffer.alloc(0)
  // Fields 3 and 4: encoding and media type of the content, when it is not plain protobuf.
  if ([3, 4].some(number => (parts.get(number) ?? none).length > 0))
    throw unsupported('the envelope holds something else than protobuf')
  return { type: parts.get(1) ?? none, content: parts.get(2) ?? none }
}

function unsupported(why: string): Fault {
  const message = `read the body: the media type '${PROTOBUF}': ${why}`
  const hint = 'send the object as application/json'
  return new Fault('unsupported_media_type', 'protobuf-kind-unknown', message, { hint })
}
