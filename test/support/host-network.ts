// Networks that tests own: a namespace joined to the host by a veth pair, in addresses that nobody routes.
import { execFileSync } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import { runProcess } from '../../src/lib/run-process.ts'
import { isLeftOver, testLabel } from './label.ts'

export interface TestNetwork {
  /** Of the host's end: the test's own address, reachable from the host and from inside. */
  readonly hostAddress: string
  readonly hostInterface: string
  /** Of the other end, inside of the namespace. */
  readonly insideAddress: string
  /** Put before an argv: runs it with this network, and all else of the host. */
  readonly enter: readonly string[]
  close(): Promise<void>
}

// TEST-NET-2 of RFC 5737, for documentation. One /30 a network.
const NET = '198.51.100'
let serial = 0

/**
 * `outgoingOnly`: inside, nothing is reached from outside. There is no way from inside to anywhere but the host's end,
 * and no name service.
 */
export async function openNetwork(options: { outgoingOnly?: boolean } = {}): Promise<TestNetwork> {
  const base = freeSubnet()
  const [hostAddress, insideAddress] = [`${NET}.${base + 1}`, `${NET}.${base + 2}`]
  const name = `${await testLabel()}-${++serial}`
  // At most 15 characters, and not the beginning that Bothy's own rules are about.
  const hostInterface = `tb${process.pid.toString(36)}h${serial}`
  const enter = ['nsenter', `--net=/run/netns/${name}`, '--']
  const inside = (...argv: string[]) => command([...enter, ...argv])
  const network: TestNetwork = {
    hostAddress,
    hostInterface,
    insideAddress,
    enter,
    async close() {
      await runProcess(['ip', 'link', 'del', hostInterface])
      await runProcess(['ip', 'netns', 'del', name])
    },
  }
  command(['ip', 'netns', 'add', name])
  try {
    command(['ip', 'link', 'add', hostInterface, 'type', 'veth', 'peer', 'name', 'up0', 'netns', name])
    command(['ip', 'addr', 'add', `${hostAddress}/30`, 'dev', hostInterface])
    command(['ip', 'link', 'set', hostInterface, 'up'])
    inside('ip', 'link', 'set', 'lo', 'up')
    inside('ip', 'addr', 'add', `${insideAddress}/30`, 'dev', 'up0')
    inside('ip', 'link', 'set', 'up0', 'up')
    inside('ip', 'route', 'add', 'default', 'via', hostAddress)
    if (options.outgoingOnly === true) command([...enter, 'nft', '-f', '-'], OUTGOING_ONLY)
    return network
  } catch (error) {
    await network.close()
    throw error
  }
}

const OUTGOING_ONLY = `
table inet outgoing_only {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iifname != "up0" accept
  }
}
`

/** Removes the namespaces, and with them the interfaces, of test runs that were killed. */
export async function sweepNetworks(): Promise<void> {
  for (const line of command(['ip', 'netns', 'list']).split('\n')) {
    const name = line.split(' ')[0] ?? ''
    if (await isLeftOver(name)) command(['ip', 'netns', 'del', name])
  }
}

function freeSubnet(): number {
  const taken = Object.values(networkInterfaces()).flatMap(each => (each ?? []).map(({ address }) => address))
  // From a place of its own for each process, so that two that look at once rarely see the same.
  for (let attempt = 0; attempt < 64; attempt++) {
    const base = ((process.pid + attempt) % 64) * 4
    if (!taken.includes(`${NET}.${base + 1}`)) return base
  }
  throw new Error(`all of ${NET}.0/24 is in use on this machine`)
}

function command([file, ...args]: readonly string[], input?: string): string {
  return execFileSync(file!, args, { encoding: 'utf8', ...(input === undefined ? {} : { input }) })
}
