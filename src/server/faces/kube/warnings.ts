// Warnings beside an answer. Clients bound what they take as headers (16 KiB is usual), so that many are cut.
import { warningHeader } from '../../status.ts'

const MAX_LENGTH = 4096
const MAX_EACH = 256

/** One `Warning` header for each text; where they are too long together, each is cut, and the last ones go. */
export function warningHeaders(texts: readonly string[]): string[] {
  const total = texts.reduce((sum, text) => sum + text.length, 0)
  if (total <= MAX_LENGTH) return texts.map(warningHeader)
  let rest = MAX_LENGTH
  const headers: string[] = []
  for (const text of texts) {
    const cut = text.slice(0, MAX_EACH)
    rest -= cut.length
    if (rest < 0) return headers
    headers.push(warningHeader(cut))
  }
  return headers
}
