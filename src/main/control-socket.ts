// One `bothy up` a data folder, and a way for `bothy down` to talk to it: a Unix socket that only its owner can open.
import { chmod, mkdir, rm } from 'node:fs/promises'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { text } from 'node:stream/consumers'
import { Fault } from '../lib/fault.ts'

export interface DownRequest {
  readonly all: boolean
}

/** Takes the folder. `onDown` ends everything and says what it does. Faults with `conflict` when it is taken. */
export async function holdControlSocket(
  path: string,
  onDown: (request: DownRequest, say: (line: string) => void) => Promise<void>,
): Promise<Server> {
  await mkdir(dirname(path), { recursive: true })
  const other = await connect(path)
  if (other !== undefined) {
    other.destroy()
    throw new Fault('conflict', 'already-up', `start on ${dirname(path)}: another 'bothy up' has it`, {
      hint: "'bothy down' ends it; --data chooses another folder",
    })
  }
  await rm(path, { force: true }) // Left by one that was killed.
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => undefined) // Who asked is gone; what was asked is done all the same.
    void text(socket).then(
      async request => {
        const { all } = JSON.parse(request) as DownRequest
        await onDown({ all }, line => void socket.write(`${line}\n`))
        socket.end()
      },
      () => socket.destroy(),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  await chmod(path, 0o600)
  return server
}

/** Asks the `bothy up` of that folder to end; false when there is none. Returns when it has ended. */
export async function askDown(
  path: string,
  request: DownRequest,
  say: (text: string) => void,
): Promise<boolean> {
  const socket = await connect(path)
  if (socket === undefined) return false
  socket.end(JSON.stringify(request))
  for await (const chunk of socket) say(String(chunk))
  return true
}

function connect(path: string): Promise<Socket | undefined> {
  return new Promise(resolve => {
    const socket = createConnection({ path, allowHalfOpen: true })
    socket.once('connect', () => resolve(socket))
    socket.once('error', () => resolve(undefined)) // No file, or nobody listening.
  })
}
