// What sandboxes reach, with policies and without, tried from inside against an internet of the test's own.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { testImage } from '../../../test/support/image.ts'
import { FAR_PORTS, type Internet, openInternet } from '../../../test/support/internet.ts'
import { titled } from '../../../test/support/requirements.ts'
import type { NetworkPolicy, Sandbox, UnpackedImage } from '../../core/driver.ts'
import { systemClock } from '../../lib/clock.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { createLinuxDriver, type LinuxDriver } from './driver.ts'
import { resolverAddress } from './network.ts'
import { BURST_BYTES } from './policy-rules.ts'

const reason = whyNoSandboxes()
// TEST-NET-3 stands for the public internet; the others are what nobody but this host reaches.
const [ONE, TWO, THREE] = ['203.0.113.7', '203.0.113.8', '203.0.113.9']
const PRIVATE = '10.213.78.7'
const METADATA = '169.254.213.8'
const SIX = 'fd5b:7e57::7'
const ZONE = {
  'one.example.test': { addresses: [ONE] },
  'two.example.test': { addresses: [TWO] },
  'deep.three.test': { addresses: [THREE] },
  'hidden.test': { addresses: [PRIVATE, METADATA] },
}

describe.skipIf(reason !== undefined)(titled('the network of a sandbox', reason), () => {
  const shortId = testShortId()
  const id = uuidv7()
  let dir: string
  let image: UnpackedImage
  let internet: Internet
  let driver: LinuxDriver
  let sandbox: Sandbox
  let epoch = 0
  const signal = () => AbortSignal.timeout(60_000)
  const open = async () => {
    const upstreams = [{ address: internet.network.insideAddress, port: FAR_PORTS.dns }]
    const network = { permitted: ['10.213.78.0/24'], upstreams }
    const opened = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog, network })
    await opened.prepare(signal())
    return opened
  }
  const start = async (network?: NetworkPolicy, of = id) => {
    await driver.ensureDisk(of, 2 ** 30, signal())
    const more = network === undefined ? {} : { network }
    const spec = { id: of, name: 'net', image, env: {}, memoryBytes: 2 ** 30, pids: 512, ...more }
    return driver.ensure({ ...spec, epoch: ++epoch }, signal())
  }
  const sh = async (script: string, where = sandbox) => {
    const stream = await where.exec({ argv: ['/bin/bash', '-c', script] }, signal())
    stream.stdin.end()
    const [out] = await Promise.all([text(stream.stdout), stream.stderr && text(stream.stderr), stream.exit])
    return out.trim()
  }
  const hello = (host: string) =>
    `timeout 2 bash -c 'exec 3<>/dev/tcp/${host}/${FAR_PORTS.hello} && read -t 1 line <&3 && echo ${host}' 2>/dev/null`
  /** Those of the hosts that say hello. */
  const reached = async (...hosts: string[]) =>
    (await sh(`(${hosts.map(host => `${hello(host)} &`).join(' ')} wait)`))
      .split('\n')
      .filter(line => line !== '')
      .sort()
  const lookUp = (name: string) => sh(`getent ahostsv4 ${name} | awk '/STREAM/ { print $1 }'`)
  const only = (...allow: string[]): NetworkPolicy => ({ egress: { otherwise: 'Deny', allow, deny: [] } })
  const set = (policy: NetworkPolicy | undefined) => driver.setNetwork(id, policy)

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-network-')
    image = await testImage()
    internet = await openInternet([ONE, TWO, THREE, PRIVATE, METADATA, SIX], ZONE)
    driver = await open()
    sandbox = await start()
  }, 300_000)
  afterEach(async () => {
    if ((await driver.find(id)) !== undefined) await set(undefined)
  })
  afterAll(async () => {
    for (const each of await driver.list()) await driver.destroy(each)
    await driver.teardown()
    await internet.close()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })

  test('is public addresses, and nothing nearer, over IPv6 neither', async () => {
    expect(await reached(ONE, TWO, PRIVATE, METADATA)).toEqual([ONE, TWO])
    // With a way made by hand, through the link as well as through whoever answers there.
    const route = `ip -6 route add default dev eth0; ip -6 neigh replace fe80::1 lladdr $(ip neigh | awk '/lladdr/ { print $5; exit }') dev eth0; ip -6 route add ${SIX} via fe80::1 dev eth0`
    await sh(route)
    expect(await reached(SIX)).toEqual([])
    await sh(`ip -6 route del default dev eth0; ip -6 route del ${SIX}`)
    const links = Object.entries(networkInterfaces()).filter(([name]) => name.startsWith(`bty${shortId}`))
    expect(links).toHaveLength(1)
    expect(links.flatMap(([, each]) => each ?? []).map(({ family }) => family)).toEqual(['IPv4'])
    // Nor does the host tell which addresses it has on other links.
    const ask = `ping -c 1 -W 1 ${internet.network.hostAddress} >/dev/null; ip route add ${internet.network.hostAddress}/32 dev eth0; timeout 2 bash -c '</dev/tcp/${internet.network.hostAddress}/1' 2>/dev/null; ip neigh show ${internet.network.hostAddress}; ip route del ${internet.network.hostAddress}/32`
    expect(await sh(ask)).not.toContain('lladdr')
  })

  test('answers questions for names, once', async () => {
    expect(await sh('head -1 /etc/resolv.conf')).toBe(`nameserver ${resolverAddress(shortId)}`)
    const before = internet.asked('one.example.test')
    for (let i = 0; i < 5; i++) expect(await lookUp('one.example.test')).toBe(ONE)
    expect(internet.asked('one.example.test') - before).toBe(1)
    expect(await lookUp('absent.example.test')).toBe('')
  })

  test('does not take questions from elsewhere, nor without end', async () => {
    const us = resolverAddress(shortId)
    const query = `my $q = pack("n6", 7, 256, 1, 0, 0, 0) . pack("(C/a*)*", "one", "example", "test") . pack("C n n", 0, 1, 1)`
    const program = `use Socket; ${query}; socket(my $s, PF_INET, SOCK_DGRAM, 0); my $to = sockaddr_in(53, inet_aton("${us}"));
      my ($n, $sent) = (0, 3000); for (1 .. $sent) { send($s, $q, 0, $to); my $r = ""; vec($r, fileno($s), 1) = 1; while (select(my $x = $r, undef, undef, 0) > 0) { recv($s, my $b, 4096, 0); $n++ } }
      while (select(my $x = do { my $r = ""; vec($r, fileno($s), 1) = 1; $r }, undef, undef, 0.5) > 0) { recv($s, my $b, 4096, 0); $n++ } print $n`
    const answered = Number(await sh(`perl -e '${program}'`))
    expect(answered).toBeGreaterThan(100)
    expect(answered).toBeLessThan(2000)
    const far = [
      ...internet.network.enter,
      'bash',
      '-c',
      `ip route add ${us}/32 via ${internet.network.hostAddress}; timeout 2 bash -c '</dev/tcp/${us}/53' 2>&1 && echo reached || true`,
    ]
    expect(execFileSync(far[0]!, far.slice(1), { encoding: 'utf8' })).not.toContain('reached')
  })

  test('is what a policy allows, by network and by name', async () => {
    await set(only(`${ONE}/32`, 'two.example.test', '*.three.test'))
    expect(await reached(ONE, TWO, THREE)).toEqual(expect.not.arrayContaining([THREE]))
    expect(await reached('two.example.test', 'deep.three.test')).toEqual([
      'deep.three.test',
      'two.example.test',
    ])
    expect(await reached(ONE, TWO, THREE)).toEqual([ONE, TWO, THREE])
  })

  test('is not what no list names, and then nobody is asked for it', async () => {
    await set(only('two.example.test'))
    const before = internet.asked('one.example.test')
    expect(await lookUp('one.example.test')).toBe('')
    expect(internet.asked('one.example.test')).toBe(before)
    expect(await reached(ONE, 'one.example.test')).toEqual([])
  })

  test('is not what a policy denies, though a list allows it', async () => {
    await set({
      egress: { otherwise: 'Allow', allow: ['203.0.113.0/24'], deny: [`${ONE}/32`, 'two.example.test'] },
    })
    expect(await lookUp('two.example.test')).toBe('')
    // Its address is known by now, however one comes by it.
    expect(await reached(ONE, TWO, THREE)).toEqual([THREE])
  })

  test('changes while it runs, for connections that stand, too', async () => {
    const script = `exec 3<>/dev/tcp/${ONE}/${FAR_PORTS.hello}; read line <&3; echo "$line"; while read -r word; do echo "$word" >&3; read -t 2 line <&3 && echo "$line" || echo silence; done`
    const stream = await sandbox.exec({ argv: ['/bin/bash', '-c', script] }, signal())
    let said = ''
    stream.stdout.on('data', chunk => (said += chunk))
    const hears = async (word: string) => {
      while (!said.includes(`${word}\n`)) await once(stream.stdout, 'data')
    }
    await hears('hello')
    stream.stdin.write('first\n')
    await hears('first')
    await set(only(`${TWO}/32`))
    stream.stdin.write('second\n')
    await hears('silence')
    stream.stdin.end()
    await stream.exit
    expect(said).not.toContain('second')
    expect(await reached(ONE, TWO)).toEqual([TWO])
    await set(undefined)
    expect(await reached(ONE, TWO)).toEqual([ONE, TWO])
  })

  test('is a private network only where policy and operator agree, and metadata never', async () => {
    expect(await set(only('10.213.78.0/24', '192.168.0.0/16', 'hidden.test'))).toEqual(['192.168.0.0/16'])
    expect(await reached(PRIVATE, METADATA)).toEqual([PRIVATE])
    // A name leads nowhere that its address does not.
    await set(only('hidden.test'))
    await lookUp('hidden.test')
    expect(await reached(PRIVATE, METADATA)).toEqual([PRIVATE])
    expect(await set({ egress: { otherwise: 'Allow', allow: [], deny: [] } })).toEqual([])
    expect(await reached(ONE, PRIVATE, METADATA)).toEqual([ONE])
  })

  test('is dialled from outside on loopback, whatever the policy', async () => {
    await set(only())
    const stream = await sandbox.exec(
      {
        argv: [
          'perl',
          '-MIO::Socket::INET',
          '-e',
          '$|=1; my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", LocalPort => 8123, ReuseAddr => 1); print "up\n"; my $c = $l->accept; print $c "inside\n"; close $c',
        ],
      },
      signal(),
    )
    await once(stream.stdout, 'data')
    const port = await sandbox.dial(8123, signal())
    expect(await text(port)).toBe('inside\n')
    await stream.exit
    expect(await reached(ONE)).toEqual([])
  })

  test('is as fast as a policy says, in both directions', async () => {
    const bytes = 12_000_000
    const download = `exec 3<>/dev/tcp/${ONE}/${FAR_PORTS.source}; echo ${bytes} >&3; head -c ${bytes} <&3 | wc -c`
    const upload = `perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new("${ONE}:${FAR_PORTS.sink}") or die; my $b = "x" x 60000; for (1 .. ${bytes / 60_000}) { print $s $b } shutdown($s, 1); print scalar <$s>'`
    /** Bits a second, without what may pass at once at the beginning: see BURST_BYTES. */
    const rate = async (script: string, limit = 0) => {
      const beganMs = performance.now()
      expect(await sh(script)).toBe(String(bytes))
      return (bytes * 8 - limit - BURST_BYTES * 8) / ((performance.now() - beganMs) / 1000)
    }
    const free = await rate(download)
    await set({ ingressBitsPerSecond: 40e6, egressBitsPerSecond: 20e6 })
    const held = [(await rate(download, 40e6)) / 40e6, (await rate(upload, 20e6)) / 20e6]
    for (const ratio of held) {
      expect(ratio).toBeGreaterThan(0.5)
      expect(ratio).toBeLessThan(1.1)
    }
    expect(free / 40e6).toBeGreaterThan(1.5)
  })

  test('begins so many connections in a second, and has so many at a time', async () => {
    const connect = (count: number) =>
      sh(
        `perl -MIO::Socket::INET -e 'my @c = grep { $_ } map { IO::Socket::INET->new(PeerAddr => "${ONE}:${FAR_PORTS.hello}", Timeout => 0.2) } 1 .. ${count}; print scalar @c'`,
      )
    expect(await connect(60)).toBe('60')
    await set({ newConnectionsPerSecond: 5 })
    const begun = Number(await connect(20))
    expect(begun).toBeGreaterThanOrEqual(5)
    expect(begun).toBeLessThan(20)
    await set({ connections: 16 })
    // Those that are closing count, too; whoever waits has room again.
    expect(Number(await connect(60))).toBeLessThanOrEqual(16)
  })

  test('is the same after the runner’s end: policies, and what names led to', async () => {
    await set(only('two.example.test'))
    expect(await reached('two.example.test')).toEqual(['two.example.test'])
    await driver.close()
    // Nobody knows names now, and the walls stand.
    expect(await reached(ONE, TWO)).toEqual([TWO])
    driver = await open()
    sandbox = (await driver.find(id))!
    expect(await reached(ONE, TWO)).toEqual([TWO])
    expect(await reached('two.example.test', 'one.example.test')).toEqual(['two.example.test'])
  })

  test('is known to the policy before it is there, and forgotten with its sandbox', async () => {
    const other = uuidv7()
    const strict = await start(only(), other)
    expect(await sh(`(${hello(ONE)} & ${hello(TWO)} & wait)`, strict)).toBe('')
    await driver.destroy(other)
    const next = await start(undefined, other)
    expect(await sh(hello(ONE), next)).toBe(ONE)
    const table = execFileSync('nft', ['list', 'table', 'inet', `bothy_${shortId}`], { encoding: 'utf8' })
    expect(table).not.toMatch(/(out|in|ask|allow|deny)_\d/)
    await driver.destroy(other)
  })
})
