// An internet of a test's own: a namespace with addresses that only this host has a way to, and somebody at each.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { openNetwork, type TestNetwork } from './host-network.ts'
import { type Program, startProgram } from './program.ts'

/** What names lead to. */
export type Zone = Readonly<Record<string, { readonly addresses: readonly string[]; readonly ttl?: number }>>

export const FAR_PORTS = { hello: 7777, source: 7778, sink: 7779, dns: 5353 } as const

export interface Internet {
  readonly network: TestNetwork
  readonly program: Program
  /** How often somebody has asked for the IPv4 addresses of a name. */
  asked(name: string): number
  close(): Promise<void>
}

export async function openInternet(addresses: readonly string[], zone: Zone): Promise<Internet> {
  const network = await openNetwork()
  const inside = (...argv: string[]) => execFileSync(network.enter[0]!, [...network.enter.slice(1), ...argv])
  try {
    for (const address of addresses) {
      const [family, bits, via] = address.includes(':')
        ? (['-6', 128, ['dev', network.hostInterface]] as const)
        : (['-4', 32, ['via', network.insideAddress]] as const)
      inside('ip', family, 'addr', 'add', `${address}/${bits}`, 'dev', 'lo')
      execFileSync('ip', [family, 'route', 'add', `${address}/${bits}`, ...via])
    }
    const server = fileURLToPath(new URL('internet-server.ts', import.meta.url))
    const program = startProgram([...network.enter, process.execPath, server, JSON.stringify(zone)])
    await program.until(/listening/)
    return {
      network,
      program,
      asked: name =>
        program
          .said()
          .split('\n')
          .filter(line => line === `asked ${name} 1`).length,
      async close() {
        await program.end()
        await network.close() // The routes go with the interface.
      },
    }
  } catch (error) {
    await network.close()
    throw error
  }
}
