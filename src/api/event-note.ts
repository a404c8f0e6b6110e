/** Kubernetes takes this much of an event's note (`events.k8s.io/v1`), in bytes of UTF-8. */
export const NOTE_BYTES = 1024

const ELLIPSIS = '…'
const ELLIPSIS_BYTES = 3

/** As much of `text` as fits, cut between characters; an ellipsis stands for the rest. */
export function cutNote(text: string): string {
  if (noteBytes(text) <= NOTE_BYTES) return text
  const room = new Uint8Array(NOTE_BYTES - ELLIPSIS_BYTES)
  return text.slice(0, new TextEncoder().encodeInto(text, room).read) + ELLIPSIS
}

export function noteBytes(text: string): number {
  return new TextEncoder().encode(text).length
}
