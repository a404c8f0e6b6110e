// As much of a DNS message as a cache in the middle needs (RFC 1035): the question, how long an answer keeps, which
// addresses it names. Everything else passes as it came.

export interface Question {
  /** Lower-case, without the last dot; bytes beyond ASCII as the characters of the same number. */
  readonly name: string
  readonly type: number
  /** Two questions with the same key have the same answer. */
  readonly key: string
  /** Bytes that an answer in one datagram may have. */
  readonly room: number
  /** Understands EDNS (RFC 6891), and asks for signatures. */
  readonly edns: boolean
  readonly signatures: boolean
  /** Where the question ends in the message. */
  readonly end: number
}

export interface Answer {
  /** Seconds that it may be kept; 0: it may not. */
  readonly ttl: number
  readonly addresses: readonly string[]
  /** Offsets of all TTL fields. */
  readonly ttlOffsets: readonly number[]
}

const HEADER = 12
// What every client takes, and what every path does (RFC 9715).
const LEAST_ROOM = 512
const ROOM = 1232
const TYPE_A = 1
const TYPE_SOA = 6
const TYPE_OPT = 41
const NOERROR = 0
const NXDOMAIN = 3
// Names that do not exist are asked for again after a minute at the latest (RFC 2308 permits up to three hours).
const MOST_NEGATIVE_SECONDS = 60
const MOST_SECONDS = 3600

/** Undefined: no ordinary query with one question. Queries come from sandboxes: any bytes at all. */
export function parseQuestion(query: Buffer): Question | undefined {
  if (query.length < HEADER + 5 || query.length > 4096) return undefined
  const isQuery = (query[2]! & 0xf8) === 0 // QR and OPCODE
  if (!isQuery || query.readUInt16BE(4) !== 1 || query.readUInt16BE(6) !== 0 || query.readUInt16BE(8) !== 0)
    return undefined
  const found = readPlainName(query, HEADER)
  if (found === undefined || found.end + 4 > query.length) return undefined
  const [type, kind] = [query.readUInt16BE(found.end), query.readUInt16BE(found.end + 2)]
  const end = found.end + 4
  const options = readOptions(query, end)
  if (kind !== 1 || options === undefined) return undefined
  // Recursion desired, authentic data, checking disabled.
  const flags = (query[2]! & 0x01) | (query[3]! & 0x30)
  const key = `${found.name} ${type} ${flags} ${options.edns} ${options.signatures}`
  return { name: found.name, type, key, end, ...options }
}

/** After the question there may be options, and nothing else. Undefined: there is. */
function readOptions(query: Buffer, end: number): Pick<Question, 'room' | 'edns' | 'signatures'> | undefined {
  const count = query.readUInt16BE(10)
  if (count === 0) return { room: LEAST_ROOM, edns: false, signatures: false }
  if (count > 1 || end + 11 > query.length) return undefined
  if (query[end] !== 0 || query.readUInt16BE(end + 1) !== TYPE_OPT) return undefined
  const room = Math.max(LEAST_ROOM, query.readUInt16BE(end + 3))
  return { room, edns: true, signatures: (query[end + 7]! & 0x80) !== 0 }
}

/** The same question in our own words: whatever else a client says in its query reaches nobody. */
export function queryFor(query: Buffer, { end, edns, signatures }: Question, id: number): Buffer {
  const message = Buffer.alloc(end + (edns ? 11 : 0))
  query.copy(message, 0, 0, end)
  message.writeUInt16BE(id, 0)
  message[2] = query[2]! & 0x01
  message[3] = query[3]! & 0x30
  message.writeUInt16BE(edns ? 1 : 0, 10)
  if (edns) {
    message.writeUInt16BE(TYPE_OPT, end + 1)
    message.writeUInt16BE(ROOM, end + 3)
    message[end + 7] = signatures ? 0x80 : 0
  }
  return message
}

/** That the answer does not fit into a datagram: the client asks again over TCP. */
export function truncatedAnswer(query: Buffer, question: Question): Buffer {
  const answer = emptyAnswer(query, question, NOERROR)
  answer[2] = answer[2]! | 0x02
  return answer
}

/** Undefined: malformed, or no answer to `question`. */
export function parseAnswer(response: Buffer, question: Question): Answer | undefined {
  if (response.length < question.end || (response[2]! & 0x80) === 0) return undefined
  if (parsedName(response) !== question.name) return undefined
  const counts = [6, 8, 10].map(offset => response.readUInt16BE(offset))
  const rcode = response[3]! & 0x0f
  const ttlOffsets: number[] = []
  const addresses: string[] = []
  let answerTtl = MOST_SECONDS
  let soaTtl: number | undefined
  let offset = question.end
  for (const [section, count] of counts.entries()) {
    for (let record = 0; record < count; record++) {
      const end = skipName(response, offset)
      if (end === undefined || end + 10 > response.length) return undefined
      const type = response.readUInt16BE(end)
      const ttl = response.readUInt32BE(end + 4)
      const length = response.readUInt16BE(end + 8)
      const data = end + 10
      if (data + length > response.length) return undefined
      if (type !== TYPE_OPT) ttlOffsets.push(end + 4)
      if (section === 0) answerTtl = Math.min(answerTtl, ttl)
      if (section === 0 && type === TYPE_A && length === 4)
        addresses.push(response.subarray(data, data + 4).join('.'))
      if (section === 1 && type === TYPE_SOA && length >= 20)
        soaTtl = Math.min(ttl, response.readUInt32BE(data + length - 4))
      offset = data + length
    }
  }
  const isTruncated = (response[2]! & 0x02) !== 0
  const isEmpty = rcode === NXDOMAIN || (rcode === NOERROR && counts[0] === 0)
  const ttl = isTruncated
    ? 0
    : isEmpty
      ? Math.min(soaTtl ?? 0, MOST_NEGATIVE_SECONDS)
      : rcode === NOERROR
        ? answerTtl
        : 0
  return { ttl, addresses, ttlOffsets }
}

/** The kept response as an answer to `query`, which asked the same, `ageSeconds` later. */
export function answerFrom(
  response: Buffer,
  { ttlOffsets }: Pick<Answer, 'ttlOffsets'>,
  query: Buffer,
  { end }: Question,
  ageSeconds: number,
): Buffer {
  const answer = Buffer.from(response)
  query.copy(answer, 0, 0, 2)
  query.copy(answer, HEADER, HEADER, end) // As it was spelled: some clients compare.
  for (const offset of ttlOffsets)
    answer.writeUInt32BE(Math.max(0, answer.readUInt32BE(offset) - ageSeconds), offset)
  return answer
}

/** An answer without records: 2 SERVFAIL, 3 NXDOMAIN. */
export function emptyAnswer(query: Buffer, { end }: Question, rcode: number): Buffer {
  const answer = Buffer.from(query.subarray(0, end))
  answer[2] = 0x80 | (query[2]! & 0x01)
  answer[3] = 0x80 | rcode
  // No records of any kind.
  answer.fill(0, 6, HEADER)
  return answer
}

/** A query for the addresses of `name`, with a random id. */
export function addressQuery(name: string, id: number): Buffer {
  const labels = name
    .split('.')
    .map(label => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, TYPE_A, 0, 1])])
}

function parsedName(message: Buffer): string | undefined {
  return message.readUInt16BE(4) === 1 ? readPlainName(message, HEADER)?.name : undefined
}

/** A name without compression, as in questions. */
function readPlainName(message: Buffer, start: number): { name: string; end: number } | undefined {
  const labels: string[] = []
  for (let offset = start; offset < message.length && offset - start < 255; ) {
    const length = message[offset]!
    if (length === 0) return { name: labels.join('.'), end: offset + 1 }
    if (length > 63 || offset + 1 + length > message.length) return undefined
    const label = message.toString('latin1', offset + 1, offset + 1 + length)
    // A dot inside of a label would make another name of it.
    if (label.includes('.')) return undefined
    // Letters of ASCII only (RFC 4343): other bytes are not the same as any other.
    labels.push(label.replace(/[A-Z]/g, letter => letter.toLowerCase()))
    offset += 1 + length
  }
  return undefined
}

/** Where the name at `start`, compressed or not, ends. */
function skipName(message: Buffer, start: number): number | undefined {
  for (let offset = start; offset < message.length; ) {
    const length = message[offset]!
    if (length === 0) return offset + 1
    if (length >= 0xc0) return offset + 2
    if (length > 63) return undefined
    offset += 1 + length
  }
  return undefined
}
