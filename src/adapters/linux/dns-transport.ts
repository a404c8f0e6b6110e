// One question to one resolver, and its answer.
import { createSocket } from 'node:dgram'
import { connect, isIPv6, type Socket } from 'node:net'
import type { Upstream } from './dns-forwarder.ts'

const MOST_BYTES = 65_535

/** Undefined when it cannot be asked or `signal` aborts. Each question has a port of its own, which is hard to guess. */
export function askOverUdp(
  { address, port }: Upstream,
  query: Buffer,
  id: number,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  return new Promise(resolve => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    let isOpen = true
    const end = (answer: Buffer | undefined) => {
      if (!isOpen) return
      isOpen = false
      socket.close()
      resolve(answer)
    }
    signal.addEventListener('abort', () => end(undefined), { once: true })
    socket.once('error', () => end(undefined))
    // Connected: the kernel lets nobody else answer.
    socket.connect(port, address, () => {
      if (isOpen) socket.send(query)
    })
    socket.on('message', message => {
      if (message.length >= 12 && message.readUInt16BE(0) === id) end(message)
    })
  })
}

export function askOverTcp(
  { address, port }: Upstream,
  query: Buffer,
  id: number,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  return new Promise(resolve => {
    const socket = connect({ host: address, port })
    signal.addEventListener('abort', () => socket.destroy(), { once: true })
    socket.on('error', () => undefined) // 'close' follows.
    socket.once('close', () => resolve(undefined))
    const length = Buffer.alloc(2)
    length.writeUInt16BE(query.length)
    socket.write(Buffer.concat([length, query]))
    readFrames(socket, async message => {
      if (message.length >= 12 && message.readUInt16BE(0) === id) resolve(message)
      socket.destroy()
    })
  })
}

/** Messages with their lengths before them, one after the other: the next is read when the last was dealt with. */
export function readFrames(socket: Socket, onMessage: (message: Buffer) => Promise<void>): void {
  let rest = Buffer.alloc(0)
  let busy = false
  const next = async () => {
    if (busy) return
    busy = true
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0) && !socket.destroyed) {
      const end = 2 + rest.readUInt16BE(0)
      const message = rest.subarray(2, end)
      rest = rest.subarray(end)
      await onMessage(message)
    }
    busy = false
    if (!socket.destroyed) socket.resume()
  }
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    if (rest.length > 2 * MOST_BYTES) return void socket.destroy()
    if (rest.length > MOST_BYTES || busy) socket.pause()
    void next()
  })
}
