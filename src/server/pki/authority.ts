// The certificate authority. One per installation: clients and runners pin its fingerprint, so it is made once and
// never silently again.
import '../../lib/reflect-metadata.ts'
import { createHash, createPrivateKey, createPublicKey, randomBytes, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'
import type { Millis } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { corruptFile, createFile, findFile } from './files.ts'

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0])

export const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY_MS = 86_400_000
const CA_LIFE_MS = 3_652 * DAY_MS
// Machines whose clocks are a little behind must not find a new certificate "not yet valid".
const BACKDATE_MS = 5 * 60_000

export interface Subject {
  readonly commonName: string
  readonly hosts: readonly string[]
  readonly publicKey: x509.PublicKeyType
  readonly lifeMs: Millis
}

export interface Authority {
  /** PEM. */
  readonly certificate: string
  /** SHA-256 of the DER, lower-case hex: what enrolment tokens and contexts pin. */
  readonly fingerprint: string
  /** A server certificate (PEM) for `hosts`, signed by this authority. */
  issue(subject: Subject, nowMs: Millis): Promise<string>
}

/** Reads `ca.pem` and `ca-key.pem` in `dir`, or makes both on the very first start. */
export async function loadAuthority(dir: string, nowMs: Millis): Promise<Authority> {
  const keyPath = join(dir, 'ca-key.pem')
  const certificatePath = join(dir, 'ca.pem')
  let certificatePem = await findFile(certificatePath)
  let keyPem = await findFile(keyPath)
  if (keyPem === undefined) {
    if (certificatePem !== undefined) throw corruptFile(keyPath, 'missing, though ca.pem is there')
    keyPem = await createFile(keyPath, await generateKeyPem())
    failpoint('server.authority-key-made')
  }
  const key = await parseKeyPem(keyPath, keyPem)
  if (certificatePem === undefined) {
    // The certificate of the server is written later than this one: its presence means that ca.pem was lost.
    // Looked at in this order, so that another server starting at this moment is not mistaken for a loss.
    const served = await findFile(join(dir, 'tls.pem'))
    certificatePem = await findFile(certificatePath)
    if (certificatePem === undefined && served !== undefined)
      throw corruptFile(certificatePath, 'missing, though tls.pem is there')
    certificatePem ??= await createFile(certificatePath, await selfSign(key, nowMs))
  }
  const certificate = parseCertificate(certificatePath, certificatePem)
  const publicPem = createPublicKey(keyPem).export({ type: 'spki', format: 'pem' }).toString()
  if (certificate.publicKey.toString('pem').trim() !== publicPem.trim())
    throw corruptFile(certificatePath, `does not belong to the key in ${keyPath}`)
  return {
    certificate: certificatePem,
    fingerprint: createHash('sha256').update(new Uint8Array(certificate.rawData)).digest('hex'),
    issue: (subject, now) => issue(certificate, key.privateKey, subject, now),
  }
}

export async function generateKeyPem(): Promise<string> {
  const pair = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify'])
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', pair.privateKey))
  return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString()
}

/** The key pair in a PEM file. Faults when it is none, or no P-256. */
export async function parseKeyPem(path: string, pem: string): Promise<webcrypto.CryptoKeyPair> {
  try {
    const key = createPrivateKey(pem)
    const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
    const spki = createPublicKey(key).export({ type: 'spki', format: 'der' })
    const privateKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, EC, false, ['sign'])
    const publicKey = await webcrypto.subtle.importKey('spki', spki, EC, true, ['verify'])
    return { privateKey, publicKey } as webcrypto.CryptoKeyPair
  } catch (cause) {
    throw corruptFile(path, 'not a private key (P-256, PKCS #8, PEM)', cause)
  }
}

export function parseCertificate(path: string, pem: string): x509.X509Certificate {
  try {
    return new x509.X509Certificate(pem)
  } catch (cause) {
    throw corruptFile(path, 'not a certificate (PEM)', cause)
  }
}

async function selfSign(keys: webcrypto.CryptoKeyPair, nowMs: Millis): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: 'CN=Bothy CA',
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + CA_LIFE_MS),
    signingAlgorithm: EC,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return `${certificate.toString('pem')}\n`
}

async function issue(
  ca: x509.X509Certificate,
  signingKey: webcrypto.CryptoKey,
  subject: Subject,
  nowMs: Millis,
): Promise<string> {
  const names = subject.hosts.map(host => new x509.GeneralName(isIP(host) === 0 ? 'dns' : 'ip', host))
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [subject.commonName] }],
    issuer: ca.subjectName,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(Math.min(nowMs + subject.lifeMs, ca.notAfter.getTime())),
    publicKey: subject.publicKey,
    signingKey,
    signingAlgorithm: EC,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names),
      await x509.SubjectKeyIdentifierExtension.create(subject.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(ca),
    ],
  })
  return `${certificate.toString('pem')}\n`
}

/** 127 random bits: positive in DER, never zero. */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes.toString('hex')
}
