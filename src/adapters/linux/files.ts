import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RuntimePaths } from './layout.ts'

/** Makes the folder of a sandbox, with what it is started from. */
export async function writeSandboxFiles(
  paths: RuntimePaths,
  files: {
    readonly config: object
    readonly state: object
    readonly network: Parameters<typeof writeNetworkFiles>[1]
  },
): Promise<void> {
  await mkdir(paths.dir, { recursive: true })
  await Promise.all([
    chmod(paths.dir, 0o711),
    writeFile(paths.config, JSON.stringify(files.config), { mode: 0o600 }),
    writeFile(paths.state, JSON.stringify(files.state), { mode: 0o600 }),
    writeNetworkFiles(paths.files, files.network),
  ])
}

/** Writes the few files of /etc that describe the network; shown read-only inside. */
export async function writeNetworkFiles(
  dir: string,
  config: {
    name: string
    address: string
    resolvers: readonly string[]
    pinned?: readonly { host: string; address: string }[]
  },
): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o755 })
  const hosts = [
    '127.0.0.1 localhost',
    '::1 localhost ip6-localhost ip6-loopback',
    `${config.address} ${config.name}`,
    ...(config.pinned ?? []).map(({ host, address }) => `${address} ${host}`),
  ]
  await writeFile(join(dir, 'hosts'), `${hosts.join('\n')}\n`, { mode: 0o644 })
  await writeFile(join(dir, 'hostname'), `${config.name}\n`, { mode: 0o644 })
  await writeFile(join(dir, 'resolv.conf'), config.resolvers.map(each => `nameserver ${each}\n`).join(''), {
    mode: 0o644,
  })
}
