// What may lie between a runner and a registry, and change what passes.
import { once } from 'node:events'
import { request as ask, createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** What comes instead of an answer's body; undefined: the body itself. */
export type Tamper = (path: string, body: Buffer) => Buffer | undefined

export interface RegistryProxy {
  /** `127.0.0.1:PORT` */
  readonly host: string
  /** From now on. Absent: everything passes as it is. */
  tamper: Tamper | undefined
  /** Takes a request over; false: it passes. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  close(): void
}

async function change(answer: IncomingMessage, tamper: Tamper, url: string, response: ServerResponse) {
  const body = await buffer(answer)
  const sent = tamper(url, body) ?? body
  // Shorter than announced: the connection ends in the middle, as it does when a server dies.
  if (sent.length < body.length) response.write(sent, () => response.destroy())
  else response.end(sent)
}

/** In front of a registry without TLS. Length and digest that the registry announced stay as they are. */
export async function startRegistryProxy(registry: string): Promise<RegistryProxy> {
  const server = createServer((request, response) => {
    if (proxy.intercept?.(request, response) === true) return
    const { url = '/', method, headers } = request
    const onward = ask(`http://${registry}${url}`, { method, headers }, answer => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      if (proxy.tamper === undefined || method !== 'GET') answer.pipe(response)
      else void change(answer, proxy.tamper, url, response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: RegistryProxy = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    tamper: undefined,
    intercept: undefined,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
  return proxy
}
