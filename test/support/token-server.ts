// The other half of a registry with tokens: whoever shows the password gets one, signed for the registry.
import { createPrivateKey, randomUUID, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { systemClock } from '../../src/lib/clock.ts'
import { loadPki } from '../../src/server/pki/load-pki.ts'
import { TOKEN_ISSUER, TOKEN_SERVICE } from './registry.ts'

export interface TokenServer {
  /** For `startRegistry`. */
  readonly realm: string
  readonly certificate: string
  /** The scopes that it gave tokens for, by user; without a name for who has not logged in. */
  readonly given: readonly string[]
  close(): void
}

/** Tokens for everything that is asked for, to one user; others get none. */
export async function startTokenServer(
  folder: string,
  { user, password }: { readonly user: string; readonly password: string },
): Promise<TokenServer> {
  const pki = await loadPki(join(folder, 'token-pki'))
  const { certificate, key } = await pki.serverCertificate(['127.0.0.1'])
  const chain = [...certificate.matchAll(/-----BEGIN CERTIFICATE-----([^-]*)-----END/g)].map(([, body]) =>
    body!.replace(/\s/g, ''),
  )
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const issue = (scopes: readonly string[], nowS: number): string => {
    const access = scopes.map(scope => {
      const [type, name, actions = ''] = scope.split(':')
      return { type, name, actions: actions.split(',') }
    })
    const times = { iat: nowS, nbf: nowS - 10, exp: nowS + 300 }
    const claims = { iss: TOKEN_ISSUER, sub: user, aud: TOKEN_SERVICE, jti: randomUUID(), ...times, access }
    const body = `${encode({ typ: 'JWT', alg: 'ES256', x5c: chain })}.${encode(claims)}`
    const signature = sign('sha256', Buffer.from(body), {
      key: createPrivateKey(key),
      dsaEncoding: 'ieee-p1363',
    })
    return `${body}.${signature.toString('base64url')}`
  }
  const given: string[] = []
  const expected = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const server = createServer((request, response) => {
    const scopes = new URL(request.url ?? '/', 'http://token').searchParams.getAll('scope')
    if (request.headers.authorization !== expected) {
      response.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
      return
    }
    given.push(...scopes)
    const token = issue(scopes, Math.floor(systemClock.now() / 1000))
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ token, access_token: token, expires_in: 300 }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    realm: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    certificate: pki.ca,
    given,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
