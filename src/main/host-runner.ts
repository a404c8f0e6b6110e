// A runner of this machine, put together: identity, client, driver, images, content, gateway, relay.
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createContentSource } from '../adapters/git/content-source.ts'
import { createLinuxDriver, type LinuxDriver } from '../adapters/linux/driver.ts'
import type { LinuxDriverOptions } from '../adapters/linux/prepared.ts'
import { createImageStore } from '../adapters/oci-images/image-store.ts'
import { parseBytes } from '../api/quantity.ts'
import type { Address } from '../cli/deps.ts'
import { createClient } from '../client/create-client.ts'
import type { ContentSource } from '../core/content.ts'
import type { Driver } from '../core/driver.ts'
import type { ImageStore } from '../core/images.ts'
import { createGateway } from '../gateway/create-gateway.ts'
import { runRelay } from '../gateway/run-relay.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { CapacityTerms } from '../runner/capacity.ts'
import { loadRunnerConfig } from '../runner/config.ts'
import { createCredential } from '../runner/credential.ts'
import type { RunnerIdentityFile } from '../runner/identity.ts'
import { runRunner } from '../runner/run-runner.ts'
import { dataPaths } from './paths.ts'
import { VERSION } from './version.ts'

/** What environments are made with. */
export interface Machinery {
  readonly driver: Driver
  readonly images: ImageStore
  readonly content: ContentSource
  /** See `RunnerOptions`. */
  readonly recordGovernorsTo?: string
  /** How much of what the host has is promised to environments. */
  readonly capacity?: CapacityTerms
  /** Where it serves metrics; absent: nowhere. */
  readonly metrics?: Address
  /** Images that nothing uses are kept for so long. */
  readonly imageIdleMs?: Millis
  /** Is there more room for disks when images go? Absent: yes. */
  readonly imagesShareRoom?: () => Promise<boolean>
}

/** Six characters that are this runner's on the host, from its uid: the same after every restart. */
export function shortIdOf(runnerUid: string): string {
  const number = createHash('sha256').update(runnerUid).digest().readBigUInt64BE()
  return `r${number.toString(36).padStart(5, '0').slice(-5)}`
}

export function openLinuxDriver(
  dataDir: string,
  runnerUid: string,
  clock: Clock,
  log: Log,
  permits: Pick<LinuxDriverOptions, 'network' | 'devices' | 'swap' | 'disks'> = {},
): LinuxDriver {
  const options = { shortId: shortIdOf(runnerUid), dir: dataPaths(dataDir).host, clock, log }
  return createLinuxDriver({ ...options, ...permits })
}

export async function linuxMachinery(
  dataDir: string,
  runnerUid: string,
  clock: Clock,
  log: Log,
): Promise<Machinery> {
  const paths = dataPaths(dataDir)
  const config = await loadRunnerConfig(paths.runnerConfig)
  const { allow, sshKeyFile, knownHostsFile } = config.git
  const { insecure, authFile } = config.registries
  const driver = openLinuxDriver(dataDir, runnerUid, clock, log, {
    network: { permitted: config.network.allow },
    devices: config.devices,
    swap: { mode: config.swap },
    disks: config.disks,
  })
  // By default in the pool, which is known once the driver is prepared: images share its room, and its reflinks.
  let store: ImageStore | undefined
  const images = () =>
    (store ??= createImageStore({
      dir: config.images.dir ?? join(driver.poolDir, 'images'),
      maxBytes: parseBytes(config.images.maxSize),
      maxFiles: config.images.maxFiles,
      cacheBytes: config.images.cacheSize === 0 ? 0 : parseBytes(config.images.cacheSize),
      // A folder of the operator's choice has a room of its own.
      ...(config.images.dir === undefined ? { room: () => driver.storage() } : {}),
      archivesDir: paths.archives,
      ...(config.mirror === undefined ? {} : { mirror: config.mirror }),
      registries: { insecure, ...(authFile === undefined ? {} : { authFile }) },
      background: driver.background,
      log,
      clock,
    }))
  return {
    driver,
    capacity: config.capacity,
    ...(config.metrics.listen === undefined ? {} : { metrics: config.metrics.listen }),
    ...(config.governors.record ? { recordGovernorsTo: paths.governors } : {}),
    images: {
      ensure: (reference, onProgress, signal) => images().ensure(reference, onProgress, signal),
      find: reference => images().find(reference),
      collect: (request, signal) => images().collect(request, signal),
      list: signal => images().list(signal),
    },
    imageIdleMs: config.images.keepDays * 86_400_000,
    imagesShareRoom: () => isOnOneOf(config.images.dir ?? driver.poolDir, [driver.poolDir, paths.host]),
    content: createContentSource({
      allow,
      ...(sshKeyFile === undefined ? {} : { sshKeyFile }),
      ...(knownHostsFile === undefined ? {} : { knownHostsFile }),
    }),
  }
}

/** Does a folder lie on the same file system as one of the others? One that is not there yet: perhaps. */
async function isOnOneOf(folder: string, others: readonly string[]): Promise<boolean> {
  try {
    const [own, ...devices] = await Promise.all([folder, ...others].map(async each => (await stat(each)).dev))
    return devices.some(device => device === own)
  } catch {
    return true
  }
}

export interface HostRunnerOptions {
  readonly identity: RunnerIdentityFile
  readonly machinery: Machinery
  /** Where the gateway listens; absent: clients come through the relay. */
  readonly gateway?: Address
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

/** Runs until `signal` aborts; sandboxes go on. */
export async function runHostRunner(options: HostRunnerOptions): Promise<void> {
  const { identity, machinery, gateway, clock, log, signal } = options
  const credential = createCredential(identity, clock)
  const { server, ca } = identity
  const client = createClient({ server, ca, credential })
  try {
    await runRunner({
      identity,
      client,
      ...machinery,
      gateway: {
        ...(gateway === undefined ? {} : { listen: gateway }),
        open: (backend, keys) => createGateway({ runnerUid: identity.runner.uid, keys, backend, log, clock }),
        relay: (served, ending) =>
          runRelay({
            server,
            ca,
            credential,
            gateway: served as ReturnType<typeof createGateway>,
            log,
            clock,
            signal: ending,
          }),
      },
      version: VERSION,
      clock,
      log,
      signal,
    })
  } finally {
    await client.close()
    await machinery.driver.close()
  }
}
