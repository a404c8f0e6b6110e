import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadPki, type Pki } from '../../src/server/pki/load-pki.ts'

export interface HttpsFixture {
  readonly url: string
  readonly pki: Pki
  readonly server: Server
  close(): Promise<void>
}

/** An HTTPS server of the test's own on loopback, with an authority of its own; `hosts` is what its certificate says. */
export async function openHttps(
  answer: RequestListener,
  hosts: readonly string[] = ['127.0.0.1'],
): Promise<HttpsFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'bothy-https-'))
  const pki = await loadPki(join(dir, 'server'))
  const { certificate, key } = await pki.serverCertificate(hosts)
  const server = createServer({ cert: certificate, key }, answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pki,
    server,
    async close() {
      server.close()
      server.closeAllConnections()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
