import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

// Where the host keeps what it trusts: Debian's and Ubuntu's bundle, then Fedora's.
const BUNDLES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt']
const DISTRIBUTED = '/usr/share/ca-certificates'

export interface Certificate {
  readonly name: string
  readonly pem: string
}

/**
 * The authorities that this host trusts beyond those of its distribution: a company's own, a proxy's. A bootstrapped
 * image trusts them too, or curl, git and apt would work on the host and fail in its environments.
 */
export async function readOwnCertificates(): Promise<Certificate[]> {
  const bundles = await Promise.all(BUNDLES.map(file => readFile(file, 'utf8').catch(() => '')))
  const entries = await readdir(DISTRIBUTED, { recursive: true }).catch(() => [] as string[])
  // Without the distribution's own files everything counts as the host's: more than needed, nothing missing.
  const distributed = entries
    .filter(entry => entry.endsWith('.crt'))
    .map(entry => readFile(join(DISTRIBUTED, entry), 'utf8').catch(() => ''))
  return subtractCertificates(bundles.join('\n'), (await Promise.all(distributed)).join('\n'))
}

/** The certificates of one PEM bundle that are not in another. */
export function subtractCertificates(bundle: string, known: string): Certificate[] {
  const seen = new Set(blocks(known))
  return blocks(bundle).flatMap(body => {
    if (seen.has(body)) return []
    seen.add(body)
    const name = createHash('sha256').update(body).digest('hex').slice(0, 16)
    const lines = body.match(/.{1,64}/g) ?? []
    const pem = `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
    return [{ name: `host-${name}.crt`, pem }]
  })
}

function blocks(pem: string): string[] {
  const found = pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)
  return [...found].map(match => match[1]!.replace(/\s+/g, ''))
}
