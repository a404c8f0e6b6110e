// A runner: a client of the API that turns the environments bound to it into sandboxes. Nothing here is needed by the
// sandboxes themselves; when it ends, they go on, and the next one finds them.
import type { ApiClient } from '../client/create-client.ts'
import type { ContentSource } from '../core/content.ts'
import { createController } from '../core/controller.ts'
import type { Driver, Room, SandboxId } from '../core/driver.ts'
import { createEvents, type Occurrence } from '../core/events.ts'
import { GOVERNORS } from '../core/governor/registry.ts'
import type { ImageStore } from '../core/images.ts'
import { aborted } from '../lib/aborted.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { type CapacityTerms, describeCapacity } from './capacity.ts'
import { createEntrances, type Entrances } from './entrances.ts'
import { createEnvironmentLog, type EnvironmentLog } from './environments/environment-log.ts'
import { createImages } from './environments/image.ts'
import { createLiveSandboxes } from './environments/live-sandboxes.ts'
import type { Told } from './environments/occurrences.ts'
import { environments } from './environments/reconcile.ts'
import { sweep } from './environments/sweep.ts'
import { createGatewayLoop, type GatewayOptions } from './gateway-loop.ts'
import { createActivity } from './governors/activity.ts'
import { createKernelKills, createKillRecord, type Kill, killOf } from './governors/kills.ts'
import { createNotices } from './governors/notices.ts'
import { createRecorder } from './governors/recorder.ts'
import { createGovernors } from './governors/run-governors.ts'
import { createTeller } from './governors/tell.ts'
import { termsOf } from './governors/terms.ts'
import { runHeartbeat } from './heartbeat.ts'
import type { RunnerIdentityFile } from './identity.ts'
import { createImageUpkeep } from './images.ts'
import { createRunnerMetrics } from './metrics/runner-metrics.ts'
import { type MetricsAddress, serveMetrics } from './metrics/serve-metrics.ts'
import { createOwnStatus, persist } from './own-status-loop.ts'
import { readyDriver, watchHealth } from './ready-driver.ts'
import { snapshots } from './snapshots/reconcile.ts'
import { sweepSnapshots } from './snapshots/sweep.ts'
import { createMeter } from './usage/meter.ts'
import { tellUsage } from './usage/tell-usage.ts'

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
  /** Where Prometheus finds metrics, on loopback. Absent: nowhere. */
  readonly metrics?: MetricsAddress
  /** An attempt that makes no progress for so long is given up. Default 5 minutes. */
  readonly stallMs?: Millis
  /** A file for what governors see and decide; see `createRecorder`. Absent: it is not recorded. */
  readonly recordGovernorsTo?: string
  /** How much of what it has is promised to environments. */
  readonly capacity?: CapacityTerms
  /** Images that nothing uses are kept for so long. Default 7 days. */
  readonly imageIdleMs?: Millis
  /** Is there more room for disks when images go? Default: yes. */
  readonly imagesShareRoom?: () => Promise<boolean>
  /** Called once with what the gateway is to serve; for those who serve it some other way. */
  readonly onEntrances?: (entrances: Entrances) => void
}

const STALL_MS: Millis = 5 * 60_000
const IMAGE_IDLE_MS: Millis = 7 * 24 * 60 * 60_000
// A deletion waits for its last event, and the end of the runner for all: if the server answers, for milliseconds.
const SETTLE_MS: Millis = 1_000
const CLOSE_MS: Millis = 2_000
// Who types after a longer rest does not come first any more, until governors know better.
const RESTED_MS: Millis = 4_000
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
  const activity = createActivity()
  const notices = createNotices()
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
        activity.forget(id)
        meter.forget(id)
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
      spent: id => meter.spent(id),
      onStart: (stages, outcome) => metrics.started(stages, outcome),
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
    if (room?.sizeBytes !== next.sizeBytes) measure(next.sizeBytes).catch(() => undefined) // The governors' loop says what is wrong.
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
  const measure = async (diskBytes: number | undefined) => {
    const resources = await driver.openResources()
    if (resources === undefined) return
    const { cores, memory } = await resources.sense()
    const size = { cores, memoryBytes: memory.totalBytes, hasSwap: memory.swapTotalBytes > 0, diskBytes }
    own.measure(describeCapacity(size, options.capacity))
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
    activity,
    notices,
    clock,
    onContent: environment => {
      const key = keyOfEnvironment(environment.metadata.uid)
      if (key !== undefined) controller.nudge(key)
    },
  })
  options.onEntrances?.(entrances)

  const { recordGovernorsTo } = options
  const governorEvents = events.recorder('governors')
  const environmentOf = (id: SandboxId) => controller.informer.list().find(each => each.metadata.uid === id)
  const tellOf = (id: SandboxId, told: Told) => {
    const regarding = environmentOf(id)
    if (regarding !== undefined) governorEvents.record({ ...told, regarding })
  }
  const tellOfAct = createTeller(tellOf, clock)
  const kernelKills = createKernelKills()
  const recordKill = createKillRecord({ store, find: environmentOf, clock, log, signal })
  const onKill = (kill: Kill) => {
    notices.say(kill.id, `bothy: ${kill.note}`)
    logOf(kill.id).append('memory', kill.note)
    recordKill(kill)
  }
  const governors = createGovernors({
    driver,
    ...(recordGovernorsTo === undefined ? {} : { recorder: createRecorder(recordGovernorsTo, log) }),
    governors: GOVERNORS,
    terms: atMs =>
      termsOf({
        environments: controller.informer.list(),
        classes: controller.known('EnvironmentClass'),
        seen: activity.of,
        offsetMs: atMs - performance.now(),
      }),
    clock,
    log,
    onRound: ({ host }) => {
      meter.observe(host)
      for (const kill of kernelKills(host)) {
        tellOf(kill.id, { type: 'Warning', reason: 'ProcessKilled', note: kill.note, action: 'Killing' })
        onKill(kill)
      }
    },
    onActed: decision => {
      metrics.acted(decision)
      tellOfAct(decision)
      const kill = killOf(decision)
      if (kill !== undefined) onKill(kill)
    },
  })
  activity.onHeard((id, restedMs = 0) => {
    // It goes before the first byte arrives; one that is not held up costs a look into a map.
    governors
      .resources()
      ?.wake(id)
      .catch(err => log.warn({ uid: id, err }, 'not woken'))
    if (restedMs > RESTED_MS) governors.hurry()
  })
  const metrics = createRunnerMetrics({
    version: options.version,
    environments: () => controller.informer.list(),
    sample: () => governors.usage().host,
  })
  const meter = createMeter(id => governors.usage().last.get(id) ?? [])
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
    if (!(await readyDriver(options, own))) return
    await Promise.all([
      controller.run(signal),
      snapshotController.run(signal),
      driver.keepRoom(onRoom, signal),
      governors.run(signal),
      tellUsage({ client, meter, clock, log, signal }),
      options.metrics && serveMetrics({ listen: options.metrics, metrics, log, signal }),
      upkeep.run(),
      afterSync(),
      watchHealth(options, own),
    ])
  }
  await Promise.all([own.run(), runHeartbeat({ client, clock, log, signal }), work(), gateway?.run()])
  await Promise.all([events.close(CLOSE_MS), ...[...logs.values()].map(each => each.flush())])
}
