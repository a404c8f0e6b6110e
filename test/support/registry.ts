import { type ChildProcess, spawn } from 'node:child_process'
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
  stop(): Promise<void>
}

export async function startRegistry(
  folder: string,
  options: { htpasswd?: string } = {},
): Promise<TestRegistry> {
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
  const config = join(folder, 'registry.yml')
  await writeFile(config, `${lines.join('\n')}\n`)
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  const ended = once(child, 'exit')
  await answering(`http://${host}/v2/`, child)
  return {
    host,
    async push(source, name, more = []) {
      const flags = ['--insecure-policy', 'copy', '--dest-tls-verify=false', ...more]
      await mustRun(['skopeo', ...flags, source, `docker://${host}/${name}`])
    },
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
