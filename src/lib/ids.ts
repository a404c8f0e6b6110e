import { randomBytes } from 'node:crypto'

/** A UUIDv7 (RFC 9562): sorts by creation time, so that indexes on it stay compact. */
export function uuidv7(nowMs: number = Date.now()): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(nowMs, 0, 6)
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function isUuid(text: string): boolean {
  return UUID.test(text)
}

// No vowels and nothing that reads as something else: a random suffix never spells a word (as Kubernetes' does).
const LETTERS = 'bcdfghjklmnpqrstvwxz2456789'

/** `length` random characters that are safe in DNS names, interface names and file names. */
export function randomSuffix(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      // 243 = 9 * 27: bytes above would make some letters likelier than others.
      if (byte < 243 && text.length < length) text += LETTERS[byte % LETTERS.length]
    }
  }
  return text
}
