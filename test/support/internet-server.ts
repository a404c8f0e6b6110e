// The far end of a test's internet: node internet-server.ts ZONE_JSON. Takes connections on three ports and answers
// questions for names; says what it was asked, and how large the crowd is, on standard output.
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import process from 'node:process'
import { FAR_PORTS, type Zone } from './internet.ts'

const zone = JSON.parse(process.argv[2] ?? '{}') as Zone
const say = (text: string) => void process.stdout.write(`${text}\n`)

// Says hello, and whatever it hears.
const hello = createServer(socket => {
  socket.on('error', () => undefined)
  socket.write('hello\n')
  socket.pipe(socket)
})

// Sends so many bytes as the client's first line says, at once.
const source = createServer(socket => {
  socket.on('error', () => undefined)
  socket.once('data', chunk => void socket.end(Buffer.alloc(Number(chunk.toString().trim()))))
})

// Takes all that comes and says how much it was.
const sink = createServer({ allowHalfOpen: true }, socket => {
  let bytes = 0
  socket.on('error', () => undefined)
  socket.on('data', chunk => {
    bytes += chunk.length
  })
  socket.on('end', () => void socket.end(`${bytes}\n`))
})

const dns = createSocket('udp4')
dns.on('message', (query, { address, port }) => {
  const labels: string[] = []
  let offset = 12
  for (let length = query[offset]!; length > 0; length = query[offset]!) {
    labels.push(query.toString('latin1', offset + 1, offset + 1 + length))
    offset += 1 + length
  }
  const name = labels.join('.').toLowerCase()
  const type = query.readUInt16BE(offset + 1)
  const question = query.subarray(12, offset + 5)
  const found = zone[name]
  const header = Buffer.alloc(12)
  query.copy(header, 0, 0, 2)
  header.writeUInt16BE(found === undefined ? 0x8183 : 0x8180, 2)
  header.writeUInt16BE(1, 4)
  const addresses = type === 1 ? (found?.addresses ?? []) : []
  header.writeUInt16BE(addresses.length, 6)
  const records = addresses.map(each => {
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...each.split('.').map(Number)])
    record.writeUInt32BE(found?.ttl ?? 60, 6)
    return record
  })
  say(`asked ${name} ${type}`)
  dns.send(Buffer.concat([header, question, ...records]), port, address)
})

const listening = [
  new Promise<void>(resolve => hello.listen(FAR_PORTS.hello, '::', resolve)),
  new Promise<void>(resolve => source.listen(FAR_PORTS.source, '::', resolve)),
  new Promise<void>(resolve => sink.listen(FAR_PORTS.sink, '::', resolve)),
  new Promise<void>(resolve => dns.bind(FAR_PORTS.dns, resolve)),
]
await Promise.all(listening)
say('listening')
