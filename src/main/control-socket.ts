// One `bothy up` a data folder, and a way for `bothy down` to talk to it: a Unix socket that only its owner can open.
import { constants } from 'node:fs'
import { access, chmod, mkdir, rm, stat } from 'node:fs/promises'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { Fault, toFault } from '../lib/fault.ts'

export interface DownRequest {
  readonly all: boolean
}

// What goes back, one JSON text a line. The last one says how it went; without it, whoever was asked has died of it.
type Answer =
  | { readonly say: string }
  | { readonly down: true }
  | { readonly failed: string; readonly hint?: string }

/** Takes the folder. `onDown` ends everything and says what it does. Faults with `conflict` when it is taken. */
export async function holdControlSocket(
  path: string,
  onDown: (request: DownRequest, say: (line: string) => void) => Promise<void>,
): Promise<Server> {
  const folder = dirname(path)
  await makeFolder(folder)
  const lock = await lockFolder(folder)
  await rm(path, { force: true }) // Left by one that was killed.
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => undefined) // Who asked is gone; what was asked is done all the same.
    void text(socket).then(
      async said => {
        const request = parseRequest(said)
        const answer = (what: Answer) => void socket.write(`${JSON.stringify(what)}\n`)
        try {
          if (request !== undefined) await onDown(request, line => answer({ say: line }))
          answer({ down: true })
        } catch (error) {
          const { message, hint } = toFault(error)
          answer({ failed: message, ...(hint === undefined ? {} : { hint }) })
        }
        socket.end()
      },
      () => socket.destroy(),
    )
  })
  server.once('close', () => lock.close())
  await listening(server, path)
  await chmod(path, 0o600)
  return server
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
    await access(folder, constants.W_OK)
  } catch (cause) {
    const message = `keep data in ${folder}: ${(cause as Error).message}`
    throw new Fault('forbidden', 'data-folder', message, { cause, hint: '--data chooses another folder' })
  }
}

// An abstract Unix socket (unix(7)): taken atomically, and given back by the kernel however the process ends.
async function lockFolder(folder: string): Promise<Server> {
  const lock = createServer(socket => socket.destroy())
  // The folder itself, not its name: there may be several of them.
  const { dev, ino } = await stat(folder)
  try {
    await listening(lock, `\0bothy/up/${dev}:${ino}`)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
    const message = `start on ${folder}: another 'bothy up' has it`
    const hint = "'bothy down' ends it; --data chooses another folder"
    throw new Fault('conflict', 'already-up', message, { cause, hint })
  }
  return lock.unref()
}

/** Undefined for what is no request: somebody only looked whether we listen, or broke off. */
function parseRequest(said: string): DownRequest | undefined {
  try {
    const { all } = JSON.parse(said) as Partial<DownRequest>
    return typeof all === 'boolean' ? { all } : undefined
  } catch {
    // Not from `askDown`, which sends JSON.
    return undefined
  }
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, resolve)
  })
}

/**
 * Asks the `bothy up` of that folder to end; false when there is none. Returns when it has ended. Faults with
 * `unavailable` when it could not, and says why.
 */
export async function askDown(
  path: string,
  request: DownRequest,
  say: (line: string) => void,
): Promise<boolean> {
  const socket = await connect(path)
  if (socket === undefined) return false
  socket.end(JSON.stringify(request))
  const refuse = (
    why: string,
    hint = "see what 'bothy up' says; when it has ended, 'bothy down' again takes down what is left",
  ) => new Fault('unavailable', 'down-failed', `end 'bothy up': ${why}`, { hint })
  let isDown = false
  for await (const line of createInterface({ input: socket })) {
    const answer = JSON.parse(line) as Answer
    if ('say' in answer) say(answer.say)
    else if ('down' in answer) isDown = true
    else throw refuse(answer.failed, answer.hint)
  }
  if (!isDown) throw refuse('it broke off')
  return true
}

function connect(path: string): Promise<Socket | undefined> {
  return new Promise(resolve => {
    const socket = createConnection({ path, allowHalfOpen: true })
    socket.once('connect', () => resolve(socket))
    socket.once('error', () => resolve(undefined)) // No file, or nobody listening.
  })
}
