// The cache for names, against a resolver of the test's own on loopback; what it is asked comes from hostile sandboxes.
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { DnsForwarder, type NameGate } from './dns-forwarder.ts'
import { addressQuery, answerFrom, parseAnswer, parseQuestion, queryFor } from './dns-message.ts'

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

interface Said {
  readonly rcode?: number
  readonly ttl?: number
  readonly addresses?: readonly string[]
  readonly isTruncated?: boolean
  /** An SOA record with that minimum. */
  readonly minimum?: number
}

function answerTo(
  query: Buffer,
  { rcode = 0, ttl = 60, addresses = [], isTruncated, minimum }: Said,
): Buffer {
  const { end } = parseQuestion(query)!
  const head = Buffer.from(query.subarray(0, end))
  head.writeUInt16BE(0x8180 | rcode | (isTruncated === true ? 0x0200 : 0), 2)
  head.writeUInt16BE(addresses.length, 6)
  head.writeUInt16BE(minimum === undefined ? 0 : 1, 8)
  head.writeUInt16BE(0, 10)
  const record = (type: number, seconds: number, data: Buffer) => {
    const fixed = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length])
    fixed.writeUInt32BE(seconds, 6)
    return Buffer.concat([fixed, data])
  }
  const soa = Buffer.alloc(22)
  soa.writeUInt32BE(minimum ?? 0, 18)
  return Buffer.concat([
    head,
    ...addresses.map(each => record(1, ttl, Buffer.from(each.split('.').map(Number)))),
    ...(minimum === undefined ? [] : [record(6, ttl, soa)]),
  ])
}

/** A resolver over UDP and TCP; undefined: it does not answer. */
async function openResolver(answer: (query: Buffer, transport: 'udp' | 'tcp') => Buffer | undefined) {
  const udp = createSocket('udp4')
  const asked: Buffer[] = []
  udp.on('message', (query, { port, address }) => {
    asked.push(query)
    const said = answer(query, 'udp')
    if (said !== undefined) udp.send(said, port, address)
  })
  await new Promise<void>(resolve => udp.bind(0, '127.0.0.1', resolve))
  const { port } = udp.address()
  const tcp: Server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.on('data', chunk => {
      asked.push(chunk.subarray(2))
      const said = answer(chunk.subarray(2), 'tcp')
      if (said === undefined) return
      const length = Buffer.alloc(2)
      length.writeUInt16BE(said.length)
      socket.write(Buffer.concat([length, said]))
    })
  })
  await new Promise<void>(resolve => tcp.listen(port, '127.0.0.1', resolve))
  closing.push(
    () => udp.close(),
    () => tcp.close(),
  )
  return { upstream: { address: '127.0.0.1', port }, asked }
}

const OPEN: NameGate = { verdict: () => 'answer', learn: async () => undefined }

// An address of loopback and a port that nothing else has.
let serial = 0
async function openForwarder(
  upstreams: readonly { address: string; port: number }[],
  gate: NameGate = OPEN,
  clock: Clock = systemClock,
) {
  const address = `127.${200 + (process.pid % 50)}.${(process.pid >> 6) % 250}.${++serial}`
  const forwarder = new DnsForwarder({
    address,
    port: 5353,
    upstreams: async () => upstreams,
    gate,
    clock,
    log: silentLog,
  })
  await forwarder.open()
  closing.push(() => forwarder.close())
  const client: Socket = createSocket('udp4')
  closing.push(() => client.close())
  const send = (query: Buffer) => client.send(query, 5353, address)
  const ask = async (name: string, query = addressQuery(name, 77)) => {
    const answered = once(client, 'message')
    send(query)
    const [answer] = (await answered) as [Buffer]
    return answer
  }
  return { forwarder, address, ask, send, client }
}

const rcodeOf = (answer: Buffer) => answer[3]! & 15
const addressesOf = (query: Buffer, answer: Buffer) => parseAnswer(answer, parseQuestion(query)!)?.addresses
/** Time that a test holds in its hands; waiting goes on as it does. */
const held = (): Clock & { at: number } => ({
  at: 1_000_000,
  now() {
    return this.at
  },
  sleep: systemClock.sleep,
})

test('an answer is kept for its time, shown with what is left of it, and asked for again afterwards', async () => {
  const resolver = await openResolver(query => answerTo(query, { ttl: 30, addresses: ['203.0.113.1'] }))
  const clock = held()
  const { ask } = await openForwarder([resolver.upstream], OPEN, clock)
  const ttlOf = (answer: Buffer) => answer.readUInt32BE(answer.length - 10)
  expect(ttlOf(await ask('a.test'))).toBe(30)
  clock.at += 20_000
  const query = addressQuery('A.Test', 4711)
  const answer = await ask('', query)
  expect(ttlOf(answer)).toBe(10)
  expect(answer.readUInt16BE(0)).toBe(4711)
  // As it was spelled.
  expect(answer.toString('latin1', 12, 20)).toContain('A\x04Test')
  expect(resolver.asked).toHaveLength(1)
  clock.at += 11_000
  await ask('a.test')
  expect(resolver.asked).toHaveLength(2)
})

test('what does not exist is kept for a minute at most, what failed not at all', async () => {
  const said: Said[] = [{ rcode: 3, ttl: 900, minimum: 900 }, { rcode: 3 }, { rcode: 2 }]
  const resolver = await openResolver(query =>
    answerTo(query, said[Number(/[0-9]/.exec(query.toString('latin1', 12))![0])]!),
  )
  const clock = held()
  const { ask } = await openForwarder([resolver.upstream], OPEN, clock)
  for (const [name, rcode, first, later] of [
    ['n0.test', 3, 1, 2],
    ['n1.test', 3, 2, 3],
    ['n2.test', 2, 2, 3],
  ] as const) {
    const before = resolver.asked.length
    expect(rcodeOf(await ask(name))).toBe(rcode)
    clock.at += 59_000
    await ask(name)
    expect(resolver.asked.length - before, name).toBe(first)
    clock.at += 2_000
    await ask(name)
    expect(resolver.asked.length - before, name).toBe(later)
  }
})

test('the same question of many is one question', async () => {
  let release: () => void = () => undefined
  const released = new Promise<void>(resolve => (release = resolve))
  const waiting = createSocket('udp4')
  closing.push(() => waiting.close())
  await new Promise<void>(resolve => waiting.bind(0, '127.0.0.1', resolve))
  let asked = 0
  waiting.on('message', (query, { port, address }) => {
    asked += 1
    void released.then(() => waiting.send(answerTo(query, { addresses: ['203.0.113.1'] }), port, address))
  })
  const { client, send } = await openForwarder([{ address: '127.0.0.1', port: waiting.address().port }])
  let answers = 0
  const all = new Promise<void>(resolve => client.on('message', () => ++answers === 20 && resolve()))
  const first = once(waiting, 'message')
  for (let id = 0; id < 20; id++) send(addressQuery('crowd.test', id))
  await first
  release()
  await all
  expect(asked).toBe(1)
})

test('the second resolver is asked when the first says nothing, and nobody’s silence is an answer', async () => {
  const silent = await openResolver(() => undefined)
  const other = await openResolver(query => answerTo(query, { addresses: ['203.0.113.2'] }))
  const { ask } = await openForwarder([silent.upstream, other.upstream])
  const query = addressQuery('late.test', 1)
  expect(addressesOf(query, await ask('late.test', query))).toEqual(['203.0.113.2'])
  const unable = await openResolver(query => answerTo(query, { rcode: 2 }))
  const third = await openForwarder([unable.upstream, other.upstream])
  expect(addressesOf(query, await third.ask('late.test', query))).toEqual(['203.0.113.2'])
  const alone = await openForwarder([])
  expect(rcodeOf(await alone.ask('nobody.test'))).toBe(2)
})

test('an answer to another question, or of another id, is none', async () => {
  const liar = await openResolver(query => {
    const wrong = answerTo(addressQuery('other.test', query.readUInt16BE(0)), { addresses: ['203.0.113.66'] })
    return query.includes('id')
      ? Buffer.concat([Buffer.from([~query[0]! & 255]), answerTo(query, {}).subarray(1)])
      : wrong
  })
  const honest = await openResolver(query => answerTo(query, { addresses: ['203.0.113.2'] }))
  const { ask } = await openForwarder([liar.upstream, honest.upstream])
  for (const name of ['name.test', 'id.test']) {
    const query = addressQuery(name, 1)
    expect(addressesOf(query, await ask(name, query))).toEqual(['203.0.113.2'])
  }
})

test('an answer too large for a datagram is asked for again over TCP', async () => {
  const many = Array.from({ length: 100 }, (_, index) => `203.0.113.${index}`)
  const resolver = await openResolver((query, transport) =>
    transport === 'tcp' ? answerTo(query, { addresses: many }) : answerTo(query, { isTruncated: true }),
  )
  const { ask, address } = await openForwarder([resolver.upstream])
  const query = addressQuery('large.test', 9)
  expect((await ask('large.test'))[2]! & 2).toBe(2)
  const socket = connect({ host: address, port: 5353 })
  closing.push(() => socket.destroy())
  const length = Buffer.from([0, query.length])
  // Two in one, cut in the middle.
  const twice = Buffer.concat([length, query, length, query])
  socket.write(twice.subarray(0, 20))
  socket.write(twice.subarray(20))
  let heard = Buffer.alloc(0)
  while (heard.length < 2 || heard.length < 2 * (2 + heard.readUInt16BE(0))) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    heard = Buffer.concat([heard, chunk])
  }
  expect(addressesOf(query, heard.subarray(2, 2 + heard.readUInt16BE(0)))).toEqual(many)
  // And from the cache, to those who have room for less.
  expect((await ask('large.test'))[2]! & 2).toBe(2)
})

test('the gate hears of every answer before the asker does, and hides or refuses what it wants', async () => {
  const resolver = await openResolver(query => answerTo(query, { addresses: ['203.0.113.1'] }))
  const learned: string[] = []
  const gate: NameGate = {
    verdict: (_, name) => (name === 'no.test' ? 'refuse' : name === 'hidden.test' ? 'hide' : 'answer'),
    learn: async (source, name, { addresses }) => {
      await new Promise(setImmediate)
      learned.push(`${source} ${name} ${addresses.join()}`)
    },
  }
  const { ask } = await openForwarder([resolver.upstream], gate)
  expect(rcodeOf(await ask('no.test'))).toBe(3)
  expect(resolver.asked).toHaveLength(0)
  expect(rcodeOf(await ask('hidden.test'))).toBe(3)
  expect(rcodeOf(await ask('yes.test'))).toBe(0)
  expect(learned).toEqual(['127.0.0.1 hidden.test 203.0.113.1', '127.0.0.1 yes.test 203.0.113.1'])
})

test('nothing that a sandbox sends is too strange, and nothing but a question reaches the resolver', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(600), (bytes, at) => {
      const query = addressQuery('example.test', 5)
      const mangled = Buffer.concat([query.subarray(0, at % query.length), Buffer.from(bytes)])
      for (const message of [Buffer.from(bytes), mangled]) {
        const question = parseQuestion(message)
        if (question === undefined) continue
        const forwarded = queryFor(message, question, 1)
        expect(forwarded.length).toBeLessThanOrEqual(question.end + 11)
        expect(parseQuestion(forwarded)?.key).toBe(question.key)
      }
      const question = parseQuestion(query)!
      const response = Buffer.concat([
        answerTo(query, { addresses: ['203.0.113.1'] }).subarray(0, 30 + (at % 20)),
        Buffer.from(bytes),
      ])
      const answer = parseAnswer(response, question)
      if (answer !== undefined) answerFrom(response, answer, query, question, 5)
    }),
    { numRuns: 2000 },
  )
})

test('a name with a dot inside of a label is no other name', () => {
  const query = Buffer.concat([
    addressQuery('x', 1).subarray(0, 12),
    Buffer.from('\x0cgood.example\x04test\x00\x00\x01\x00\x01', 'latin1'),
  ])
  expect(parseQuestion(query)).toBeUndefined()
})

test.each([
  ['\xc0', '\xe0', false],
  ['\xfe', '\xff', false],
  ['K', 'k', true],
])('names of the bytes %j and %j are the same: %s', (one, other, same) => {
  const nameOf = (byte: string) => {
    const query = addressQuery('x.test', 1)
    query[13] = byte.charCodeAt(0)
    return parseQuestion(query)?.name
  }
  expect(nameOf(one)).toBeDefined()
  expect(nameOf(one) === nameOf(other)).toBe(same)
})
