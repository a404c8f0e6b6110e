// What travels over an entrance: binary messages, each starting with one byte that names a channel (the framing of
// Kubernetes' remote command protocol, subprotocol v5.channel.k8s.io), and one channel more, for flow control.
// Wire forms only: bytes in, bytes out, in a browser too.

/** The kinds of entrance; a token is good for one of them. */
export const ENTRANCES = ['exec', 'content', 'logs'] as const
export type EntranceKind = (typeof ENTRANCES)[number]

/** Path of the gateway's entrance, on the runner itself and, prefixed by `/relay/<runner uid>`, on the server. */
export function entrancePath(kind: EntranceKind, environmentUid: string): string {
  return `/entrance/${environmentUid}/${kind}`
}

export const SUBPROTOCOL = 'v1.entrance.bothy.dev'

/**
 * Channels of the binary messages. `stdin`, `stdout` and `stderr` carry bytes; `status` (last message from the gateway)
 * and `resize` carry JSON; `close` is followed by the number of the channel on which its sender says no more. `close`
 * of `status`, from the client: end it now and say how it ended.
 *
 * `window` is followed by the number of a byte channel and a 32-bit big-endian count: its sender takes so many more
 * bytes on that channel. Every window starts at 0, so a slow consumer stops one channel and nothing else: pings, resizes
 * and the end of the connection are always seen. The gateway's first window for `stdin` says that the entrance is open.
 */
export const CHANNEL = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  status: 3,
  resize: 4,
  window: 5,
  close: 255,
} as const

export type ByteChannel = typeof CHANNEL.stdin | typeof CHANNEL.stdout | typeof CHANNEL.stderr

/** Bytes that a side takes on one channel before its consumer has taken any. 1 MiB at 20 ms of round trip: 50 MB/s. */
export const WINDOW_BYTES = 1024 * 1024

/** Byte channels are cut into messages of at most this size, so that one busy channel delays the others little. */
export const FRAME_BYTES = 64 * 1024

/** Largest message of any kind: the first one, with arguments and variables, may be long. */
export const MESSAGE_BYTES = 4 * 1024 * 1024

export type Frame =
  | { readonly kind: 'bytes'; readonly channel: ByteChannel; readonly bytes: Uint8Array }
  | { readonly kind: 'status' | 'resize'; readonly bytes: Uint8Array }
  | { readonly kind: 'window'; readonly channel: ByteChannel; readonly count: number }
  | { readonly kind: 'close'; readonly channel: ByteChannel | typeof CHANNEL.status }

/** Undefined for what no sender of this protocol sends: the connection is then to be closed. */
export function parseFrame(message: Uint8Array): Frame | undefined {
  const rest = message.subarray(1)
  switch (message[0]) {
    case CHANNEL.stdin:
    case CHANNEL.stdout:
    case CHANNEL.stderr:
      return { kind: 'bytes', channel: message[0], bytes: rest }
    case CHANNEL.status:
      return { kind: 'status', bytes: rest }
    case CHANNEL.resize:
      return { kind: 'resize', bytes: rest }
    case CHANNEL.window: {
      const [channel] = rest
      if (rest.length !== 5 || !isByteChannel(channel)) return undefined
      return { kind: 'window', channel, count: new DataView(rest.buffer, rest.byteOffset).getUint32(1) }
    }
    case CHANNEL.close: {
      const [channel] = rest
      if (rest.length !== 1 || !(isByteChannel(channel) || channel === CHANNEL.status)) return undefined
      return { kind: 'close', channel }
    }
    default:
      return undefined
  }
}

export function bytesFrame(channel: number, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(1 + bytes.length)
  frame[0] = channel
  frame.set(bytes, 1)
  return frame
}

export function windowFrame(channel: ByteChannel, count: number): Uint8Array {
  const frame = new Uint8Array(6)
  frame[0] = CHANNEL.window
  frame[1] = channel
  new DataView(frame.buffer).setUint32(2, count)
  return frame
}

export function closeFrame(channel: ByteChannel | typeof CHANNEL.status): Uint8Array {
  return Uint8Array.of(CHANNEL.close, channel)
}

function isByteChannel(value: number | undefined): value is ByteChannel {
  return value === CHANNEL.stdin || value === CHANNEL.stdout || value === CHANNEL.stderr
}
