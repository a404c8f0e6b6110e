import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { mustRun } from '../../src/lib/run-process.ts'

/** A real container registry on loopback, plain http. */
export interface TestRegistry {
  /** `127.0.0.1:PORT` */
  readonly host: string
  /** Sends an OCI layout, or an archive of one, to the registry. */
  push(source: string, name: string, more?: readonly string[]): Promise<void>
  /** Puts a manifest or an index, as it is; resolves with its digest. */
  putManifest(name: string, reference: string, mediaType: string, body: string): Promise<string>
  /** What it was asked so far, as its access log has it: `GET /v2/team/app/blobs/sha256:…`, those that it answered. */
  asked(): readonly string[]
  stop(): Promise<void>
}

export interface RegistryOptions {
  /** Lines of `user:bcrypt`. */
  readonly htpasswd?: string
  /** Tokens are to be had at that place, signed with that certificate (PEM). */
  readonly token?: { readonly realm: string; readonly certificate: string }
}

/** Whose tokens a registry with `token` takes, and what they are for. */
export const TOKEN_ISSUER = 'bothy-test'
export const TOKEN_SERVICE = 'registry'

export async function startRegistry(folder: string, options: RegistryOptions = {}): Promise<TestRegistry> {
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const lines = [
    'version: 0.1',
    'log: {level: error}',
    `storage: {filesystem: {rootdirectory: ${join(folder, 'registry')}}}`,
    `http: {addr: '${host}'}`,
  ]
  if (options.htpasswd !== undefined) {
    await writeFile(join(folder, 'htpasswd'), options.htpasswd)
    lines.push(`auth: {htpasswd: {realm: test, path: ${join(folder, 'htpasswd')}}}`)
  }
  if (options.token !== undefined) {
    const { realm, certificate } = options.token
    const bundle = join(folder, 'token.pem')
    await writeFile(bundle, certificate)
    const token = { realm, service: TOKEN_SERVICE, issuer: TOKEN_ISSUER, rootcertbundle: bundle }
    lines.push(`auth: {token: ${JSON.stringify(token)}}`)
  }
  const config = join(folder, 'registry.yml')
  await writeFile(config, `${lines.join('\n')}\n`)
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = once(child, 'exit')
  let log = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  await answering(`http://${host}/v2/`, child)
  return {
    host,
    async push(source, name, more = []) {
      const flags = ['--insecure-policy', 'copy', '--dest-tls-verify=false', ...more]
      await mustRun(['skopeo', ...flags, source, `docker://${host}/${name}`])
    },
    async putManifest(name, reference, mediaType, body) {
      const response = await fetch(`http://${host}/v2/${name}/manifests/${reference}`, {
        method: 'PUT',
        headers: { 'content-type': mediaType },
        body,
      })
      if (!response.ok) throw new Error(`put manifest ${name}:${reference}: ${await response.text()}`)
      return `sha256:${createHash('sha256').update(body).digest('hex')}`
    },
    asked: () => [...log.matchAll(/"([A-Z]+ \S+) HTTP\/1\.1" 2\d\d /g)].map(match => match[1]!),
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function answering(url: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the registry ended with ${child.exitCode}`)
    // Any answer will do: a private registry says 401.
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
