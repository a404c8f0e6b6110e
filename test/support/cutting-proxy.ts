// A TCP proxy on loopback that does to connections what networks do to them.
import { connect, createServer, type Socket } from 'node:net'

export interface CuttingProxy {
  /** The server's address, by way of the proxy. */
  readonly url: string
  /** Ends every connection that is open, without a word of farewell. Returns how many those were. */
  cut(): number
  /** Whether it lets anybody through; while it does not, whoever comes is thrown out. */
  admit(isOpen: boolean): void
  /** What is open stays open, and never carries a byte again. New connections are as good as ever. */
  stall(): void
  close(): Promise<void>
}

/** `target`: asked anew for each connection, since servers restart. */
export async function startCuttingProxy(target: () => string): Promise<CuttingProxy> {
  const pairs = new Set<readonly [Socket, Socket]>()
  let isOpen = true
  const proxy = createServer(client => {
    if (!isOpen) return void client.resetAndDestroy()
    const { hostname, port } = new URL(target())
    const server = connect(Number(port), hostname)
    const pair = [client, server] as const
    pairs.add(pair)
    for (const [from, to] of [pair, [server, client]] as const) {
      from.pipe(to)
      // Whoever dies takes the other one along: that is all the news there is.
      from.on('error', () => to.destroy())
      from.on('close', () => {
        to.destroy()
        pairs.delete(pair)
      })
    }
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as { port: number }
  const cut = () => {
    const open = [...pairs]
    for (const [client, server] of open) {
      client.resetAndDestroy()
      server.destroy()
    }
    return open.length
  }
  return {
    url: `https://127.0.0.1:${port}`,
    cut,
    admit(admits) {
      isOpen = admits
    },
    stall() {
      for (const [client, server] of pairs) {
        client.unpipe(server).pause()
        server.unpipe(client).pause()
      }
    },
    async close() {
      cut()
      await new Promise<void>(resolve => proxy.close(() => resolve()))
    },
  }
}
