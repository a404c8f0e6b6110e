// What root inside reaches over the network, and over sockets: the world, and nothing nearer.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { openNetwork, type TestNetwork } from '../support/host-network.ts'
import { type Machines, openMachines } from '../support/machine.ts'
import { type Program, startProgram } from '../support/program.ts'
import { lacking, titled } from '../support/requirements.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['mmdebstrap'] })
// Of every range that nobody outside has, one that nobody here has either.
const PRIVATE = ['10.213.77.7', '172.20.213.7', '192.168.213.7', '100.64.213.7', '169.254.213.7']
const PORT = 7777

describe.skipIf(reason !== undefined)(titled('from inside', reason), () => {
  let machines: Machines
  let network: TestNetwork
  let far: Program
  let host: Server
  let hostPort: number
  const run = (name: string, script: string) => machines.run(name, `set +e; ${script}\ntrue`)
  /** Those of the addresses where somebody takes a connection. */
  const reached = async (addresses: readonly string[], port: number, name = 'evil') =>
    (
      await run(
        name,
        `for a in ${addresses.join(' ')}; do nc -z -w 2 $a ${port} 2>/dev/null && echo $a & done; wait`,
      )
    )
      .split('\n')
      .filter(line => line !== '')
      .sort()
  const addressOf = (name: string) =>
    run(name, "ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'")

  beforeAll(async () => {
    machines = await openMachines()
    await machines.create('evil')
    await machines.create('neighbour')
    network = await openNetwork()
    for (const address of PRIVATE) {
      execFileSync('ip', ['route', 'add', `${address}/32`, 'via', network.insideAddress])
      execFileSync(network.enter[0]!, [
        ...network.enter.slice(1),
        'ip',
        'addr',
        'add',
        `${address}/32`,
        'dev',
        'lo',
      ])
    }
    // Takes connections, and tells who sent which datagram.
    const script = `require('node:net').createServer(s => s.end()).listen(${PORT}, () => console.log('listening'));
      const udp = require('node:dgram').createSocket('udp4'); udp.on('message', m => console.log('got ' + m)); udp.bind(${PORT})`
    far = startProgram([...network.enter, process.execPath, '-e', script])
    await far.until(/listening/)
    host = createServer(socket => socket.end())
    hostPort = await new Promise(resolve => {
      host.listen(0, '::', () => resolve((host.address() as { port: number }).port))
    })
  }, 900_000)
  afterAll(async () => {
    host?.close()
    await far?.end()
    await network?.close()
    await machines?.close()
  })

  test('private, link-local and metadata addresses are not reached, though the host and the world are', async () => {
    // The host reaches all of them.
    for (const address of PRIVATE) await connects(address, PORT)
    expect(await reached([network.insideAddress, ...PRIVATE, '169.254.169.254'], PORT)).toEqual([
      network.insideAddress,
    ])
    expect(await reached(['169.254.169.254'], 80)).toEqual([])
  })

  test('no address of the host is reached, whatever way the packets are sent', async () => {
    const all = Object.values(networkInterfaces()).flatMap(each => each ?? [])
    const own = all.filter(({ family }) => family === 'IPv4').map(({ address }) => address)
    await connects('127.0.0.1', hostPort)
    expect(await reached([...own, '0.0.0.0', '::1'], hostPort)).toEqual([])
    const server = Number(new URL((await machines.stack.context()).server).port)
    expect(await reached(own, server)).toEqual([])
    // Loopback addresses, sent out instead of kept.
    const script = `sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1; ip route del local 127.0.0.0/8 table local; ip route del local 127.0.0.1 table local
      gw=$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'); ip route add 127.0.0.1/32 via $gw; nc -z -w 2 127.0.0.1 ${hostPort} && echo reached
      ip route del 127.0.0.1/32; ip route add local 127.0.0.0/8 dev lo table local`
    expect(await run('evil', script)).toBe('')
  })

  test('the host’s end of the link is not reached over IPv6 either', async () => {
    const { uid } = (await machines.stack.get('Environment', 'evil')).metadata
    const mine = await addressOf('evil')
    const link = networkInterfaces()
    const [name] =
      Object.entries(link).find(([, each]) => each?.some(({ address }) => sameLink(address, mine))) ?? []
    expect(name, uid).toMatch(/^bty/)
    const ends = (link[name!] ?? [])
      .filter(({ address }) => address.startsWith('fe80'))
      .map(({ address }) => `${address}%eth0`)
    expect(await reached([...ends, 'ff02::1%eth0'], hostPort)).toEqual([])
    expect(
      await run(
        'evil',
        'ping -6 -c 2 -W 1 ff02::1%eth0 2>&1 | grep "bytes from" | grep -v "$(ip -6 -o addr show eth0 scope link | sed "s/.*inet6 \\([0-9a-f:]*\\).*/\\1/")"',
      ),
    ).toBe('')
    expect(await run('evil', 'ip -6 route show default')).toBe('')
  })

  test('a neighbour is not reached, and nobody speaks in its name', async () => {
    const theirs = await addressOf('neighbour')
    await run(
      'neighbour',
      `setsid nc -lk 0.0.0.0 ${PORT} >/dev/null 2>&1 & for i in $(seq 50); do nc -z ${theirs} ${PORT} && break; sleep 0.1; done`,
    )
    expect(await reached([theirs], PORT, 'neighbour')).toEqual([theirs])
    expect(await reached([theirs], PORT)).toEqual([])
    const send = (what: string, from: string) =>
      `echo ${what} | nc -u -w 1 -s ${from} ${network.insideAddress} ${PORT}`
    const mine = await addressOf('evil')
    await run(
      'evil',
      `ip addr add ${theirs}/32 dev eth0; ${send('spoofed', theirs)}; ip addr del ${theirs}/32 dev eth0; ${send('honest', mine)}`,
    )
    await far.until(/got honest/)
    expect(far.said()).not.toContain('spoofed')
  })

  test('no socket of the host is there, by path or by name', async () => {
    // The names in /proc/net/unix: those of an engine that was started here would be its own.
    expect(
      await run(
        'evil',
        'find / -xdev -type s; find /run /var/run /tmp /dev -type s; sed 1d /proc/net/unix | grep -o " [/@].*"',
      ),
    ).toBe('')
  })
})

/** From the host; throws when nobody takes it. */
async function connects(host: string, port: number): Promise<void> {
  const socket = connect({ host, port, timeout: 2_000 })
  await once(socket, 'connect')
  socket.destroy()
}

/** Are both in one /30, as the two ends of a link are? */
function sameLink(one: string, other: string): boolean {
  const quad = (address: string) => address.split('.').map(Number)
  const [a, b] = [quad(one), quad(other)]
  return (
    a.length === 4 &&
    a.slice(0, 3).join() === b.slice(0, 3).join() &&
    (a[3]! & ~3) === (b[3]! & ~3) &&
    one !== other
  )
}
