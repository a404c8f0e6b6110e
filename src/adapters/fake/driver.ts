// A driver whose sandboxes are child processes in a folder of their own: for tests, and for trying Bothy on a machine
// without privileges. It isolates nothing. It is no mock: it passes the same contract suites as every driver, and
// misbehaves on request. Needs Linux (/proc) and, for terminals, perl.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DEFAULT_ISOLATION } from '../../api/isolation.ts'
import type {
  DiskJob,
  Driver,
  DriverHealth,
  OnStage,
  Sandbox,
  SandboxId,
  SandboxSpec,
} from '../../core/driver.ts'
import type { ExecStream, Exit } from '../../core/exec.ts'
import { aborted } from '../../lib/aborted.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { isUuid } from '../../lib/ids.ts'
import { copyFolder, folderUsage } from './disks.ts'
import { execHere } from './exec.ts'
import { environmentOf, type Place, placeOf, relocate, SNAPSHOTS, snapshotPlaceOf } from './place.ts'
import { endMarked, findProcess, isAlive, SANDBOX_VARIABLE } from './processes.ts'
import { createSandbox, type SandboxRecord } from './sandbox.ts'

/** What the driver does wrong; read at every call, so that a test may change it in between. */
export interface Misbehaviour {
  /** How long a sandbox takes to start. */
  startDelayMs?: Millis
  failPrepare?: Fault
  failDisk?: Fault
  /** Every ensure fails with it; a list fails as many. */
  failEnsure?: Fault | Fault[]
  /** Sandboxes end by themselves after this long. */
  dieAfterMs?: Millis
  failDestroy?: Fault
}

export interface FakeDriverOptions {
  readonly dir: string
  readonly clock: Clock
  readonly misbehave?: Misbehaviour
}

// As long as `sleep` can: 68 years.
const FOREVER_SECONDS = 2_147_483_647

export function createFakeDriver({ dir, clock, misbehave = {} }: FakeDriverOptions): Driver {
  const closed = new AbortController()
  const own = new Map<number, Promise<Exit>>()
  const turns = new Map<SandboxId, Promise<unknown>>()

  /** One at a time per environment: what ensure decides must still hold when it acts. */
  const inTurn = <T>(id: SandboxId, body: () => Promise<T>): Promise<T> => {
    const turn = (turns.get(id) ?? Promise.resolve()).then(body, body)
    turns.set(id, turn)
    return turn
  }

  const endedOf = (record: SandboxRecord) => (): Promise<Exit> => {
    const known = own.get(record.init.pid)
    if (known !== undefined) return known
    const poll = (async (): Promise<Exit> => {
      // Not our child: nobody tells us, and its exit code went to whoever reaped it.
      while (isAlive(record.init)) await clock.sleep(50, closed.signal)
      return { code: -1 }
    })()
    poll.catch(() => undefined) // Closed: this instance will never learn it.
    return poll
  }

  const find = async (place: Place): Promise<Sandbox | undefined> => {
    const record = await readRecord(place)
    if (record === undefined || !isAlive(record.init)) return undefined
    return createSandbox(place, record, endedOf(record), clock)
  }

  const start = async (place: Place, spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> => {
    if (misbehave.startDelayMs !== undefined) await sleepOrCancel(clock, misbehave.startDelayMs, signal)
    const seconds = misbehave.dieAfterMs === undefined ? FOREVER_SECONDS : misbehave.dieAfterMs / 1000
    const init = spawn('sleep', [String(seconds)], {
      cwd: place.workspaces,
      env: environmentOf(place, spec.epoch),
      detached: true,
      stdio: 'ignore',
    })
    const exit = new Promise<Exit>(resolve =>
      init.once('exit', (code, by) => resolve(by === null ? { code: code ?? 0 } : { signal: by })),
    )
    await new Promise((resolve, reject) => init.once('spawn', resolve).once('error', reject))
    init.unref()
    const id = init.pid === undefined ? undefined : findProcess(init.pid)
    if (id === undefined)
      throw new Fault('internal', 'init-gone', `start sandbox ${place.id}: it ended at once`)
    const record: SandboxRecord = { epoch: spec.epoch, init: id, env: spec.env }
    own.set(id.pid, exit)
    void exit.then(() => own.delete(id.pid))
    await writeFile(`${place.record}.new`, JSON.stringify(record), { mode: 0o600 })
    await rename(`${place.record}.new`, place.record)
    const sandbox = createSandbox(place, record, () => exit, clock)
    if (signal.aborted) {
      await sandbox.stop(0)
      throw cancelled(place)
    }
    return sandbox
  }

  const ensure = async (
    place: Place,
    spec: SandboxSpec,
    signal: AbortSignal,
    onStage?: OnStage,
  ): Promise<Sandbox> => {
    if (signal.aborted) throw cancelled(place)
    const fault = Array.isArray(misbehave.failEnsure) ? misbehave.failEnsure.shift() : misbehave.failEnsure
    if (fault !== undefined) throw fault
    if (!existsSync(place.disk)) {
      throw new Fault('not_found', 'disk-missing', `start sandbox ${place.id}: it has no disk`)
    }
    const running = await find(place)
    if (running?.epoch === spec.epoch) return running
    if (running !== undefined && running.epoch > spec.epoch) {
      throw new Fault(
        'conflict',
        'epoch-old',
        `start sandbox ${place.id} with epoch ${spec.epoch}: epoch ${running.epoch} runs`,
      )
    }
    // Of an older epoch, or of a sandbox whose first process died: nothing may go on using the disk.
    await endAll(place, 0, clock)
    const started = clock.now()
    const sandbox = await start(place, spec, signal)
    onStage?.('sandbox', started, clock.now())
    return sandbox
  }

  const runJob = async (place: Place, job: DiskJob, signal: AbortSignal): Promise<ExecStream> => {
    if (!existsSync(place.disk))
      throw new Fault('not_found', 'disk-missing', `run a job: ${place.id} has no disk`)
    if ((await find(place)) !== undefined) {
      throw new Fault('conflict', 'sandbox-running', `run a job on the disk of ${place.id}: its sandbox runs`)
    }
    const move = (text: string) =>
      job.files.reduce((moved, file) => moved.replaceAll(file.target, file.source), relocate(text, place))
    const env = { ...environmentOf(place, 0), ...job.env }
    return execHere(
      {
        argv: job.argv.map(move),
        cwd: place.workspaces,
        env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, move(value)])),
      },
      signal,
    )
  }

  return {
    name: 'fake',
    health: () => health(),
    async prepare(signal) {
      if (signal.aborted)
        throw new Fault('cancelled', 'prepare-cancelled', 'prepare the fake driver: cancelled')
      if (misbehave.failPrepare !== undefined) throw misbehave.failPrepare
      await mkdir(dir, { recursive: true, mode: 0o700 })
      // A crash between starting a first process and writing it down leaves one that nobody would find.
      const known = new Set<string>()
      for (const id of await listPlaces(dir)) {
        const record = await readRecord(placeOf(dir, id))
        if (record !== undefined) known.add(`${placeOf(dir, id).root}#${record.epoch}`)
      }
      const stray = (value: string) => value.startsWith(`${dir}/`) && !known.has(value)
      await endMarked(SANDBOX_VARIABLE, stray, 0, clock)
    },
    async ensureDisk(id, _sizeBytes, signal) {
      const place = placeOf(dir, id)
      if (signal.aborted) throw cancelled(place)
      if (misbehave.failDisk !== undefined) throw misbehave.failDisk
      await mkdir(place.workspaces, { recursive: true, mode: 0o700 })
      await mkdir(place.home, { recursive: true, mode: 0o700 })
    },
    copyDisk: (id, source, signal) =>
      inTurn(id, () => {
        const place = placeOf(dir, id)
        if (signal.aborted) throw cancelled(place)
        if (misbehave.failDisk !== undefined) throw misbehave.failDisk
        const from =
          'snapshot' in source ? snapshotPlaceOf(dir, source.snapshot) : placeOf(dir, source.environment)
        return copyFolder(from.disk, place.disk)
      }),
    findDisk: id => folderUsage(placeOf(dir, id).disk),
    takeSnapshot: (id, environment) =>
      inTurn(id, () => copyFolder(placeOf(dir, environment).disk, snapshotPlaceOf(dir, id).disk)),
    findSnapshot: id => folderUsage(snapshotPlaceOf(dir, id).disk),
    snapshotFolder: id => snapshotPlaceOf(dir, id).root,
    listSnapshots: async () => {
      const names = await readdir(join(dir, SNAPSHOTS)).catch(() => []) // None was ever taken.
      return names.filter(isUuid)
    },
    destroySnapshot: id =>
      inTurn(id, () => rm(snapshotPlaceOf(dir, id).root, { recursive: true, force: true })),
    runJob: (id, job, signal) => inTurn(id, () => runJob(placeOf(dir, id), job, signal)),
    folder: id => placeOf(dir, id).root,
    ensure: (spec, signal, onStage) =>
      inTurn(spec.id, () => ensure(placeOf(dir, spec.id), spec, signal, onStage)),
    // Its sandboxes have the host's network and devices, whatever they are told.
    setNetwork: async () => [],
    listDevices: async () => [],
    listIsolations: async () => [DEFAULT_ISOLATION],
    find: id => find(placeOf(dir, id)),
    list: () => listPlaces(dir),
    destroy: id =>
      inTurn(id, async () => {
        if (misbehave.failDestroy !== undefined) throw misbehave.failDestroy
        const place = placeOf(dir, id)
        await endAll(place, 0, clock)
        await rm(place.root, { recursive: true, force: true })
      }),
    openResources: async () => undefined,
    storage: async () => ({ sizeBytes: 2 ** 40, freeBytes: 2 ** 39, lowBytes: 0 }),
    async keepRoom(onRoom, signal) {
      // Its folders are as large as the host's own.
      onRoom({ freeBytes: Number.POSITIVE_INFINITY, admits: true, held: new Set() })
      await aborted(signal)
    },
    async close() {
      closed.abort()
    },
    async teardown() {
      await endMarked(SANDBOX_VARIABLE, value => value.startsWith(`${dir}/`), 0, clock)
    },
  }
}

async function endAll(place: Place, graceMs: Millis, clock: Clock): Promise<void> {
  await endMarked(SANDBOX_VARIABLE, value => value.startsWith(`${place.root}#`), graceMs, clock)
}

async function readRecord(place: Place): Promise<SandboxRecord | undefined> {
  try {
    return JSON.parse(await readFile(place.record, 'utf8')) as SandboxRecord
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function listPlaces(dir: string): Promise<SandboxId[]> {
  const names = await readdir(dir).catch(error => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  })
  return names.filter(id => isUuid(id) && existsSync(placeOf(dir, id).disk))
}

async function health(): Promise<DriverHealth> {
  const proc = existsSync('/proc/self/environ')
  const checks = [
    {
      name: 'processes',
      ok: proc,
      required: true,
      found: proc ? '/proc is there' : 'no /proc',
      ...(proc ? {} : { hint: 'the fake driver needs Linux' }),
    },
  ]
  return { ok: proc, checks }
}

async function sleepOrCancel(clock: Clock, ms: Millis, signal: AbortSignal): Promise<void> {
  await clock.sleep(ms, signal).catch(cause => {
    throw new Fault('cancelled', 'start-cancelled', 'start a sandbox: cancelled', { cause })
  })
}

function cancelled(place: Place): Fault {
  return new Fault('cancelled', 'ensure-cancelled', `start sandbox ${place.id}: cancelled`)
}
