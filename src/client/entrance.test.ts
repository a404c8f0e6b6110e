import type { AddressInfo } from 'node:net'
import { createServer, type Server as TcpServer } from 'node:net'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { afterEach, expect, test, vi } from 'vitest'
import {
  childExec,
  type GatewayFixture,
  type GatewayFixtureOptions,
  openGateway,
} from '../../test/support/gateway.ts'
import { WINDOW_BYTES } from '../api/channels.ts'
import type { Exec } from '../core/exec.ts'
import { Fault } from '../lib/fault.ts'
import { openExec } from './open-exec.ts'
import { openLogs } from './open-logs.ts'
import { uploadContent } from './upload-content.ts'

let fixture: GatewayFixture | undefined
const blackHoles: TcpServer[] = []
const open = async (options: GatewayFixtureOptions = {}) => {
  fixture = await openGateway(options)
  return fixture
}
afterEach(async () => {
  await fixture?.close()
  fixture = undefined
  for (const server of blackHoles.splice(0)) server.close()
})

const bytes = (size: number): Buffer =>
  Buffer.alloc(
    size,
    Uint8Array.from({ length: 251 }, (_, i) => i),
  )

test('1 MB of every byte comes back identical', { timeout: 20_000 }, async ({ signal }) => {
  const { grant } = await open()
  const sent = bytes(1_000_003)
  const stream = await openExec(await grant('exec'), { argv: ['cat'] }, signal)
  stream.stdin.end(sent)
  const received = await buffer(stream.stdout)
  expect(received.equals(sent)).toBe(true)
  expect(await stream.exit).toEqual({ code: 0 })
})

test('who does not read holds the command up and not memory, and is still heard', async ({ signal }) => {
  let produced = 0
  const resized = Promise.withResolvers<number>()
  const endless: Exec = async (_request, stop) => ({
    ...(await childExec({ argv: ['sleep', '1000'] }, stop)),
    stdout: new Readable({
      read() {
        produced += 65_536
        this.push(Buffer.alloc(65_536))
      },
    }),
    resize: () => resized.resolve(produced),
  })
  const { grant } = await open({ backend: { exec: async () => endless } })
  const abort = new AbortController()
  const stream = await openExec(await grant('exec'), { argv: ['anything'] }, abort.signal)
  await vi.waitUntil(() => produced >= WINDOW_BYTES)
  // On the same connection: whatever this side had granted by now was seen before it.
  stream.resize({ columns: 80, rows: 24 })
  expect(await resized.promise).toBeLessThanOrEqual(WINDOW_BYTES + 6 * 65_536)
  abort.abort()
  expect(await stream.exit).toEqual({ signal: 'SIGKILL' })
  expect(signal.aborted).toBe(false)
})

test('a command that does not read its input holds the writer up', async ({ signal }) => {
  const { grant } = await open()
  const abort = new AbortController()
  const stream = await openExec(await grant('exec'), { argv: ['sleep', '1000'] }, abort.signal)
  let written = 0
  while (stream.stdin.writableLength < 4 * 65_536) {
    stream.stdin.write(Buffer.alloc(65_536))
    written += 65_536
    await new Promise(resolve => setImmediate(resolve))
  }
  expect(written).toBeLessThan(3 * WINDOW_BYTES)
  // The gateway hears the abort although it can hand over no more input.
  abort.abort()
  expect(await stream.exit).toEqual({ signal: 'SIGKILL' })
  expect(signal.aborted).toBe(false)
})

test('a command that cannot be started is the fault that the runner says', async ({ signal }) => {
  const { grant } = await open({
    backend: {
      exec: async () => async () => {
        throw new Fault('not_found', 'user-unknown', 'run true: no such user', { hint: 'choose another' })
      },
    },
  })
  const request = { argv: ['true'], user: 'nobody-here' }
  await expect(openExec(await grant('exec'), request, signal)).rejects.toMatchObject({
    name: 'Fault',
    reason: 'not_found',
    code: 'user-unknown',
    hint: 'choose another',
  })
})

test('a request that makes no sense is refused with what is wrong', async ({ signal }) => {
  const { grant } = await open()
  const request = { argv: ['true'], cwd: 'not/absolute' }
  await expect(openExec(await grant('exec'), request, signal)).rejects.toMatchObject({
    reason: 'invalid',
    message: expect.stringContaining('cwd'),
  })
})

test('a gateway that closes ends the commands in it', async ({ signal }) => {
  const { grant, gateway } = await open()
  const stream = await openExec(
    await grant('exec'),
    { argv: ['sh', '-c', 'echo $$; exec sleep 1000'] },
    signal,
  )
  const [pid] = (await stream.stdout[Symbol.asyncIterator]().next()).value.toString().split('\n')
  await gateway.close()
  expect(await stream.exit).toEqual({ signal: 'SIGKILL' })
  expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH')
})

test('an upload arrives whole, and the answer waits for the backend', async ({ signal }) => {
  const sent = bytes(3_000_000)
  const got: Buffer[] = []
  const { grant, environmentUid } = await open({
    backend: {
      async receiveContent(uid, stream) {
        expect(uid).toBe(environmentUid)
        got.push(await buffer(stream))
      },
    },
  })
  await uploadContent(
    await grant('content'),
    Readable.from([sent.subarray(0, 1_500_000), sent.subarray(1_500_000)]),
    signal,
  )
  expect(got.map(each => each.equals(sent))).toEqual([true])
})

test('an upload whose source fails is broken off, not ended', async ({ signal }) => {
  const ended = Promise.withResolvers<string>()
  const { grant } = await open({
    backend: {
      async receiveContent(_uid, stream) {
        await buffer(stream).then(
          () => ended.resolve('whole'),
          error => ended.resolve(error.name),
        )
      },
    },
  })
  const source = Readable.from(
    (async function* () {
      yield Buffer.alloc(100_000)
      throw new Error('disk on fire')
    })(),
  )
  await expect(uploadContent(await grant('content'), source, signal)).rejects.toThrow('disk on fire')
  expect(await ended.promise).toBe('Fault')
})

test("the backend's refusal of an upload reaches the sender, who stops", async ({ signal }) => {
  const { grant } = await open({
    backend: {
      async receiveContent() {
        throw new Fault('exhausted', 'disk-full', 'store the bundle: no space left', { hint: 'make room' })
      },
    },
  })
  const endless = new Readable({ read: () => void endless.push(Buffer.alloc(65_536)) })
  await expect(uploadContent(await grant('content'), endless, signal)).rejects.toMatchObject({
    reason: 'exhausted',
    code: 'disk-full',
    hint: 'make room',
  })
  expect(endless.destroyed).toBe(true)
})

test('logs come to their end; a followed log ends with its reader', async ({ signal }) => {
  const stopped = Promise.withResolvers<void>()
  const { grant } = await open({
    backend: {
      async logs(_uid, { follow, tail }, stop) {
        if (!follow) return Readable.from([Buffer.from(`last ${tail} lines\n`)])
        stop.addEventListener('abort', () => stopped.resolve())
        const lines = new Readable({ read: () => undefined })
        lines.push('first\n')
        return lines
      },
    },
  })
  expect(await text(await openLogs(await grant('logs'), { follow: false, tail: 3 }, signal))).toBe(
    'last 3 lines\n',
  )

  const abort = new AbortController()
  const lines = await openLogs(await grant('logs'), { follow: true }, abort.signal)
  lines.once('data', () => abort.abort())
  expect(await text(lines)).toBe('first\n')
  await stopped.promise
})

test('a log that breaks off errs with the reason', async ({ signal }) => {
  const { grant } = await open({
    backend: {
      logs: async () =>
        Readable.from(
          (async function* () {
            yield Buffer.from('one\n')
            throw new Fault('unavailable', 'log-lost', 'read the log: gone')
          })(),
        ),
    },
  })
  const lines = await openLogs(await grant('logs'), { follow: false }, signal)
  await expect(text(lines)).rejects.toMatchObject({ code: 'log-lost' })
})

test('the next address is taken when the first cannot be connected or is somebody else', async ({
  signal,
}) => {
  const { grant } = await open()
  const stranger = await openGateway()
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  blackHoles.push(silent)
  await new Promise(resolve => silent.once('listening', resolve))
  try {
    for (const first of [
      stranger.url,
      'https://127.0.0.1:1',
      `https://127.0.0.1:${(silent.address() as AddressInfo).port}`,
    ]) {
      const { urls, ...rest } = await grant('exec')
      const stream = await openExec({ ...rest, urls: [first, ...urls] }, { argv: ['echo', 'here'] }, signal)
      expect(await text(stream.stdout)).toBe('here\n')
    }
  } finally {
    await stranger.close()
  }
})

test('plain addresses and other authorities are refused, and no token goes there', async ({ signal }) => {
  const { grant, url } = await open()
  const granted = await grant('exec')
  const plain = { ...granted, urls: [url.replace('https:', 'ws:')] }
  await expect(openExec(plain, { argv: ['true'] }, signal)).rejects.toMatchObject({
    code: 'entrance-url-invalid',
  })
  const stranger = await openGateway()
  const { ca } = await stranger.grant('exec')
  await stranger.close()
  await expect(openExec({ ...granted, ca }, { argv: ['true'] }, signal)).rejects.toMatchObject({
    reason: 'unavailable',
    hint: expect.stringContaining('certificate'),
  })
  // It was not used up.
  const stream = await openExec(granted, { argv: ['true'] }, signal)
  expect(await stream.exit).toEqual({ code: 0 })
})
