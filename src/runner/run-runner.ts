// A runner: a client of the API that turns the environments bound to it into sandboxes. Nothing here is needed by the
// sandboxes themselves; when it ends, they go on, and the next one finds them.
import { jsonEqual } from '../api/json-equal.ts'
import type { ApiClient } from '../client/create-client.ts'
import type { ContentSource } from '../core/content.ts'
import { createController } from '../core/controller.ts'
import type { Driver, Room, SandboxId } from '../core/driver.ts'
import { createEvents, type Occurrence } from '../core/events.ts'
import type { ImageStore } from '../core/images.ts'
import { aborted } from '../lib/aborted.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { createEntrances, type Entrances } from './entrances.ts'
import { createEnvironmentLog, type EnvironmentLog } from './environments/environment-log.ts'
import { createImages } from './environments/image.ts'
import { createLiveSandboxes } from './environments/live-sandboxes.ts'
import { environments } from './environments/reconcile.ts'
import { sweep } from './environments/sweep.ts'
import { createGatewayLoop, type GatewayOptions } from './gateway-loop.ts'
import { runHeartbeat } from './heartbeat.ts'
import type { RunnerIdentityFile } from './identity.ts'
import { createImageUpkeep } from './images.ts'
import { judgeDriver, judgeFault, type OwnStatus, requireHealth, writeOwnStatus } from './own-status.ts'
import { snapshots } from './snapshots/reconcile.ts'
import { sweepSnapshots } from './snapshots/sweep.ts'
import type { StorageStatus } from './storage.ts'

export interface RunnerOptions {
  readonly identity: RunnerIdentityFile
  readonly client: Pick<ApiClient, 'store' | 'request'>
  readonly driver: Driver
  readonly images: ImageStore
  readonly content: ContentSource
  /** Absent: nobody can enter what runs here. */
  readonly gateway?: GatewayOptions
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  /** Aborting ends the runner; sandboxes go on. */
  readonly signal: AbortSignal
  /** An attempt that makes no progress for so long is given up. Default 5 minutes. */
  readonly stallMs?: Millis
  /** Images that nothing uses are kept for so long. Default 7 days. */
  readonly imageIdleMs?: Millis
  /** Is there more room for disks when images go? Default: yes. */
  readonly imagesShareRoom?: () => Promise<boolean>
  /** Called once with what the gateway is to serve; for those who serve it some other way. */
  readonly onEntrances?: (entrances: Entrances) => void
}

const STALL_MS: Millis = 5 * 60_000
const IMAGE_IDLE_MS: Millis = 7 * 24 * 60 * 60_000
const HEALTH_MS: Millis = 60_000
// A deletion waits for its last event, and the end of the runner for all: if the server answers, for milliseconds.
const SETTLE_MS: Millis = 1_000
const CLOSE_MS: Millis = 2_000
const BACKOFF = { baseMs: 500, maxMs: 30_000 }
// Most of an attempt is waiting for registries, git hosts and grace periods; who limits the real work is the driver.
const CONCURRENCY = 256

/** Runs until `signal` aborts, whatever happens to the server meanwhile; resolves when nothing of it runs any more. */
export async function runRunner(options: RunnerOptions): Promise<void> {
  const { identity, client, driver, clock, log, signal } = options
  const { store } = client
  const logs = new Map<SandboxId, EnvironmentLog>()
  const logOf = (id: SandboxId): EnvironmentLog => {
    const known = logs.get(id)
    if (known !== undefined) return known
    const onError = (err: unknown) => log.warn({ uid: id, err }, 'environment log not written')
    const created = createEnvironmentLog(driver.folder(id), clock, onError)
    logs.set(id, created)
    return created
  }

  const events = createEvents({ store, clock, log, instance: identity.runner.name })
  const sandboxes = createLiveSandboxes(driver)
  const told = new Set<SandboxId>()
  const sweepOnce = async () => {
    await sweep({
      driver,
      store,
      told,
      known: () => new Set(controller.informer.list().map(each => each.metadata.uid)),
      drop: id => {
        sandboxes.drop(id)
        logs.delete(id)
      },
      log,
    })
  }
  const images = createImages({
    store: options.images,
    clock,
    makeRoom: () => upkeep.makeRoom('image'),
    onFetched: () => upkeep.changed(),
  })
  const controller = createController(
    environments({
      driver,
      content: options.content,
      images,
      makeRoom: () => upkeep.makeRoom('disk'),
      sandboxes,
      logOf,
      clock,
      events: events.recorder('runner'),
      settleEvents: environment => events.settle(environment, SETTLE_MS),
      runner: identity.runner,
      stallMs: options.stallMs ?? STALL_MS,
      isHeld: id => room?.held.has(id) === true,
      sweep: sweepOnce,
    }),
    { store, clock, log, concurrency: CONCURRENCY },
  )
  const sweepSnapshotsOnce = (): Promise<void> =>
    sweepSnapshots({
      driver,
      store,
      told,
      known: () => new Set(snapshotController.informer.list().map(each => each.metadata.uid)),
      log,
    })
  const snapshotController = createController(
    snapshots({
      driver,
      sandboxes,
      clock,
      events: events.recorder('runner'),
      runner: identity.runner,
      sweep: sweepSnapshotsOnce,
    }),
    { store, clock, log, concurrency: CONCURRENCY },
  )
  const upkeep = createImageUpkeep({
    ...{ driver, images: options.images, user: identity.runner.uid, clock, log, signal },
    inFlight: () => images.inFlight(),
    idleMs: options.imageIdleMs ?? IMAGE_IDLE_MS,
    isLow: () => room?.admits === false,
    shareRoom: options.imagesShareRoom ?? (async () => true),
    onRemoved: note => void tellOfOwn({ type: 'Normal', reason: 'ImagesRemoved', note }),
    onStorage: storage => own.measured(storage),
  })
  const tellOfOwn = async (told: Omit<Occurrence, 'regarding'>) => {
    const { namespace, name } = identity.runner
    try {
      const regarding = await store.find({ kind: 'Runner', namespace, name })
      if (regarding !== undefined) events.recorder('runner').record({ ...told, regarding })
    } catch (error) {
      // The log has it, too; what was done is not undone because nobody could be told.
      log.debug({ code: toFault(error).code, note: told.note }, 'event not told')
    }
  }
  let room: Room | undefined
  const onRoom = (next: Room) => {
    const before = room?.held ?? new Set<SandboxId>()
    room = next
    // Before anybody asks for what is not there.
    if (!next.admits) void upkeep.makeRoom('disk')
    log[next.admits ? 'info' : 'warn'](
      { freeBytes: next.freeBytes, admits: next.admits, held: next.held.size },
      next.admits ? 'there is room' : 'room is running out',
    )
    for (const id of new Set([...before, ...next.held])) {
      const key = keyOfEnvironment(id)
      if (key !== undefined) controller.nudge(key)
    }
  }
  const keyOfEnvironment = (id: SandboxId) => {
    const found = controller.informer.list().find(each => each.metadata.uid === id)
    const { namespace = '', name } = found?.metadata ?? {}
    return name === undefined ? undefined : ({ kind: 'Environment', namespace, name } as const)
  }
  sandboxes.onChange(id => {
    const key = keyOfEnvironment(id)
    if (key !== undefined && sandboxes.inHand(id) === undefined) controller.nudge(key)
  })
  const entrances = createEntrances({
    driver,
    informer: controller.informer,
    sandboxes,
    logOf,
    clock,
    onContent: environment => {
      const key = keyOfEnvironment(environment.metadata.uid)
      if (key !== undefined) controller.nudge(key)
    },
  })
  options.onEntrances?.(entrances)

  const gateway =
    options.gateway && createGatewayLoop(options.gateway, { identity, client, entrances, clock, log, signal })
  const own = createOwnStatus(options, () => gateway?.url())
  gateway?.onUrl(() => own.changed())

  const afterSync = async () => {
    await Promise.race([
      Promise.all([controller.informer.synced, snapshotController.informer.synced]),
      aborted(signal),
    ])
    await persist('remove leftovers', sweepOnce, options)
    await persist('remove leftovers of snapshots', sweepSnapshotsOnce, options)
  }
  const work = async () => {
    if (!(await prepare(options, own))) return
    await Promise.all([
      controller.run(signal),
      snapshotController.run(signal),
      driver.keepRoom(onRoom, signal),
      upkeep.run(),
      afterSync(),
      watchHealth(options, own),
    ])
  }
  await Promise.all([own.run(), runHeartbeat({ client, clock, log, signal }), work(), gateway?.run()])
  await Promise.all([events.close(CLOSE_MS), ...[...logs.values()].map(each => each.flush())])
}

/** Until the driver is ready: without it nothing can be done here, and people are told why. False: aborted first. */
async function prepare({ driver, log, signal, clock }: RunnerOptions, own: OwnStatusLoop): Promise<boolean> {
  for (let failures = 0; !signal.aborted; ) {
    try {
      requireHealth(await driver.health())
      await driver.prepare(signal)
      own.equip(await equipmentOf(driver))
      own.say(judgeDriver(await driver.health()))
      return true
    } catch (error) {
      if (signal.aborted) return false
      const fault = toFault(error)
      failures += 1
      log.error(
        { reason: fault.reason, code: fault.code, message: fault.message, hint: fault.hint },
        'driver not ready',
      )
      own.say(judgeFault(fault))
      await clock.sleep(backoffMs(failures, BACKOFF), signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }
  return false
}

async function watchHealth({ driver, clock, signal }: RunnerOptions, own: OwnStatusLoop): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(HEALTH_MS, signal).catch(() => undefined) // Aborted: the loop sees it.
    if (signal.aborted) return
    own.say(await driver.health().then(judgeDriver, error => judgeFault(toFault(error))))
    own.equip(await equipmentOf(driver))
  }
}

type Equipment = Pick<OwnStatus, 'devices' | 'isolations'>

async function equipmentOf(driver: Driver): Promise<Equipment> {
  const [devices, isolations] = await Promise.all([driver.listDevices(), driver.listIsolations()])
  return { devices, isolations }
}

interface OwnStatusLoop {
  say(ready: OwnStatus['ready']): void
  equip(equipment: Equipment): void
  measured(storage: StorageStatus): void
  changed(): void
  run(): Promise<void>
}

/** Keeps the Runner object's status as it should be; a server that is away is told when it is back. */
function createOwnStatus(options: RunnerOptions, gatewayUrl: () => string | undefined): OwnStatusLoop {
  const { client, identity, driver, version, clock, signal } = options
  let ready: OwnStatus['ready'] = {
    status: 'False',
    reason: 'Preparing',
    message: 'the host is being prepared',
  }
  let equipment: Equipment = { devices: [], isolations: [] }
  let storage: StorageStatus | undefined
  let due = Promise.withResolvers<void>()
  const changed = () => due.resolve()
  return {
    changed,
    say(next) {
      const news = !jsonEqual(ready, next)
      ready = next
      if (news) changed()
    },
    equip(next) {
      const news = !jsonEqual(equipment, next)
      equipment = next
      if (news) changed()
    },
    measured(next) {
      storage = next
      changed()
    },
    async run() {
      while (!signal.aborted) {
        due = Promise.withResolvers<void>()
        const write = () =>
          writeOwnStatus(
            client.store,
            identity,
            { version, driver: driver.name, gatewayUrl: gatewayUrl(), ...equipment, storage, ready },
            clock.now(),
          )
        await persist('write the own status', write, options)
        await Promise.race([due.promise, aborted(signal)])
      }
    },
  }
}

/** Tries until it succeeds or the runner ends. */
async function persist(
  what: string,
  body: () => Promise<void>,
  { clock, log, signal }: Pick<RunnerOptions, 'clock' | 'log' | 'signal'>,
): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    try {
      return await body()
    } catch (error) {
      if (signal.aborted) return
      const { reason, code, message, hint } = toFault(error)
      failures += 1
      log.warn({ what, reason, code, message, hint }, 'trying again later')
      await clock.sleep(backoffMs(failures, BACKOFF), signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }
}
