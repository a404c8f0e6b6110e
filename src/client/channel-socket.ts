// One WebSocket of an entrance, either side of it: byte channels as streams, the rest as calls.
import type { RawData, WebSocket } from 'ws'
import {
  type ByteChannel,
  bytesFrame,
  CHANNEL,
  closeFrame,
  parseFrame,
  windowFrame,
} from '../api/channels.ts'
import { Fault } from '../lib/fault.ts'
import { ChannelReadable, ChannelWritable } from './channel-streams.ts'

export interface ChannelListener {
  /** The text message: what is asked of the entrance. */
  text?(message: string): void
  status?(bytes: Uint8Array): void
  resize?(bytes: Uint8Array): void
  /** The other side takes this many more bytes on the channel. */
  window?(channel: ByteChannel): void
  /** The client wants it to end now. */
  stop?(): void
  /** Nothing comes or goes any more. Called exactly once. */
  closed(): void
}

export class ChannelSocket {
  readonly #socket: WebSocket
  readonly #listener: ChannelListener
  readonly #receiving = new Map<ByteChannel, ChannelReadable>()
  readonly #sending = new Map<ByteChannel, ChannelWritable>()
  readonly #granted = new Map<ByteChannel, number>()
  #closed = false
  #discarding = false

  constructor(socket: WebSocket, listener: ChannelListener) {
    this.#socket = socket
    this.#listener = listener
    socket.on('message', (data, isBinary) => this.#onMessage(data, isBinary))
    // `close` follows, and is what ends the entrance.
    socket.on('error', () => undefined)
    socket.once('close', () => this.#onClose())
  }

  /** The receiving end of a channel; its sender may begin. */
  receive(channel: ByteChannel): ChannelReadable {
    const readable = new ChannelReadable(count => this.#send(windowFrame(channel, count)))
    this.#receiving.set(channel, readable)
    if (this.#closed) readable.fail(broken())
    else readable.open()
    return readable
  }

  /** The sending end of a channel; ending it tells the other side. */
  send(channel: ByteChannel): ChannelWritable {
    const writable = new ChannelWritable({
      bytes: bytes => this.#send(bytesFrame(channel, bytes)),
      end: () => this.#send(closeFrame(channel)),
    })
    this.#sending.set(channel, writable)
    writable.grant(this.#granted.get(channel) ?? 0)
    if (this.#discarding) writable.discard()
    return writable
  }

  sendText(message: string): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(message)
  }

  sendJson(channel: typeof CHANNEL.status | typeof CHANNEL.resize, value: unknown): void {
    this.#send(bytesFrame(channel, Buffer.from(JSON.stringify(value))))
  }

  /** Asks the gateway to end what runs and to say how it ended. */
  sendStop(): void {
    this.#send(closeFrame(CHANNEL.status))
  }

  /** Takes what is written to any channel from now on and forgets it. */
  discard(): void {
    this.#discarding = true
    for (const writable of this.#sending.values()) writable.discard()
  }

  #send(frame: Uint8Array): void {
    // Windows bound what the socket holds back. After the end there is nobody to send to.
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(frame)
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    const bytes = data as Buffer
    if (!isBinary) {
      this.#listener.text?.(bytes.toString('utf8'))
    } else if (!this.#onFrame(bytes)) {
      // 1002: protocol error. Not answered by guessing what was meant.
      this.#socket.close(1002)
      this.#onClose()
    }
  }

  #onFrame(bytes: Buffer): boolean {
    const frame = parseFrame(bytes)
    switch (frame?.kind) {
      case 'bytes':
        return this.#receiving.get(frame.channel)?.receive(frame.bytes) ?? false
      case 'status':
        this.#listener.status?.(frame.bytes)
        return true
      case 'resize':
        this.#listener.resize?.(frame.bytes)
        return true
      case 'window':
        return this.#onWindow(frame.channel, frame.count)
      case 'close':
        if (frame.channel === CHANNEL.status) this.#listener.stop?.()
        else this.#receiving.get(frame.channel)?.finish()
        return true
      case undefined:
        return false
    }
  }

  #onWindow(channel: ByteChannel, count: number): boolean {
    const writable = this.#sending.get(channel)
    // It may come before this side is ready to send; it is kept until then.
    if (writable === undefined) this.#granted.set(channel, (this.#granted.get(channel) ?? 0) + count)
    else writable.grant(count)
    this.#listener.window?.(channel)
    return true
  }

  #onClose(): void {
    if (this.#closed) return
    this.#closed = true
    this.#listener.closed()
    this.discard()
    for (const readable of this.#receiving.values()) readable.fail(broken())
  }
}

/** What became of an entrance is unknown: the connection went away before anybody could say. */
export function broken(): Fault {
  const hint = 'the runner or the network in between went away; try again'
  return new Fault('unavailable', 'entrance-broken', 'the connection to the environment broke off', { hint })
}
