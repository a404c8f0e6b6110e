// One running sandbox, found from what is on the host: its folder below /run, its cgroup, its keeper's socket.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { DEFAULT_ISOLATION, type Isolation } from '../../api/isolation.ts'
import type { NetworkPolicy, Sandbox, SandboxId, SandboxSpec } from '../../core/driver.ts'
import type { Exec, Exit } from '../../core/exec.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { type Cgroups, processesIn } from './cgroups.ts'
import { execInSandbox } from './exec.ts'
import type { ForkServer } from './fork-server.ts'
import { parseExit, watchKeeper } from './keeper.ts'
import { cgroupPath, type RuntimePaths } from './layout.ts'
import { ownInit, type RunningSandbox, type Runtime } from './runtime.ts'
import type { Host } from './sandbox-plan.ts'
import { sendSignal } from './signals.ts'
import { resolveUser } from './user.ts'

/** What a starter writes down beside the sandbox; everything else is read from the host. */
export interface SandboxState {
  readonly epoch: number
  readonly slot: number
  readonly user: string
  readonly workingDir: string
  /** Its first process is an init system of its own, which ends the others. */
  readonly hasInit: boolean
  /** Absent, as older versions leave it: userns. */
  readonly isolation?: Isolation
  /** What the kernel holds it to besides the walls of all; see `Driver.setNetwork`. */
  readonly network?: NetworkPolicy
}

export function sandboxState(spec: SandboxSpec, slot: number, runtime: Runtime): SandboxState {
  const { epoch, image, network } = spec
  const { user, workingDir } = image
  const hasInit = ownInit(spec, runtime) !== undefined
  const limits = network === undefined ? {} : { network }
  return { epoch, slot, user, workingDir, hasInit, isolation: runtime.isolation, ...limits }
}

export interface SandboxDeps {
  readonly host: Host
  readonly cgroups: Cgroups
  /** Makes the parents of commands. */
  readonly commands: ForkServer
  readonly clock: Clock
  readonly runtimeOf: (isolation: Isolation) => Promise<Runtime>
  /** Lets it go, if it is suspended; before anything else that concerns it. */
  readonly wake: (id: SandboxId) => Promise<void>
  /** Lets it go, if it is held up, so that it can end. */
  readonly beforeStop: (id: SandboxId) => Promise<void>
  /** Removes what a dead sandbox left on the host. Idempotent. */
  readonly cleanUp: (id: SandboxId) => Promise<void>
}

const POLL_MS = 20
const HANG_UP_MS = 500
// "Halts the machine" to systemd; glibc keeps the first two of the kernel's real-time signals (32) to itself.
const SIGRTMIN_PLUS_3 = 37

export class LinuxSandbox implements Sandbox {
  readonly id: SandboxId
  readonly epoch: number
  readonly ended: Promise<Exit>
  readonly #initPid: number
  readonly #paths: RuntimePaths
  readonly #runtime: Runtime
  readonly #state: SandboxState
  readonly #deps: SandboxDeps
  readonly #keeper: Socket | undefined
  #left = false

  constructor(
    id: SandboxId,
    initPid: number,
    state: SandboxState,
    paths: RuntimePaths,
    runtime: Runtime,
    deps: SandboxDeps,
    keeper?: Socket,
  ) {
    this.id = id
    this.epoch = state.epoch
    this.#initPid = initPid
    this.#paths = paths
    this.#runtime = runtime
    this.#state = state
    this.#deps = deps
    this.#keeper = keeper
    // Whoever hears of the end may start it anew: nothing of the old one is left by then.
    this.ended = this.#waitForEnd(keeper).then(async how => {
      await deps.cleanUp(id)
      return how
    })
    this.ended.catch(() => undefined) // Asked for by some only.
  }

  readonly exec: Exec = async (request, signal) => {
    const { host, cgroups, commands, wake } = this.#deps
    await wake(this.id)
    const wanted = request.user ?? this.#state.user
    const user = await resolveUser(wanted, path => this.#runtime.readInside(this.#running, path, signal))
    const { env, gids } = await this.#given()
    const place = { id: this.id, host, paths: this.#paths }
    await this.#runtime.keepGroups(cgroups, place)
    const target = {
      runtime: this.#runtime,
      commands,
      place,
      hasInit: this.#state.hasInit,
      env,
      cwd: this.#state.workingDir,
      maxOpenFiles: host.maxOpenFiles,
      keepsCores: host.keepsCores,
    }
    // Those of devices, whoever the user is.
    const additionalGids = [...new Set([...user.additionalGids, ...gids])]
    return execInSandbox(target, request, { ...user, additionalGids }, signal)
  }

  async dial(port: number, signal: AbortSignal): Promise<Duplex> {
    await this.#deps.wake(this.id)
    return this.#runtime.dial(this.#running, port, signal)
  }

  async stop(graceMs: Millis): Promise<void> {
    await this.#deps.beforeStop(this.id)
    const { clock } = this.#deps
    const deadline = clock.now() + graceMs
    if (this.#state.hasInit) return this.#shutDown(deadline)
    const running = this.#running
    // Interactive shells ignore that, and go when their terminal does. One that is just starting may miss it.
    let nextHangUp = 0
    for (
      let left = await this.#runtime.tell(running, 'SIGTERM');
      left > 0 && clock.now() < deadline;
      await clock.sleep(POLL_MS)
    ) {
      const isDue = clock.now() >= nextHangUp
      if (isDue) nextHangUp = clock.now() + HANG_UP_MS
      left = await this.#runtime.tell(running, isDue ? 'SIGHUP' : undefined)
    }
    if (await isInit(this.#deps, this.id, this.#initPid)) await this.#runtime.end(running)
    await this.ended
  }

  // An init system would start again what is ended behind its back.
  async #shutDown(deadline: Millis): Promise<void> {
    const { clock } = this.#deps
    sendSignal(this.#initPid, SIGRTMIN_PLUS_3)
    const isThere = () => isInit(this.#deps, this.id, this.#initPid)
    while (clock.now() < deadline && (await isThere())) await clock.sleep(POLL_MS)
    if (await isThere()) sendSignal(this.#initPid, 'SIGKILL')
    await this.ended
  }

  /** Stops watching; the sandbox goes on. `ended` never resolves afterwards. */
  leave(): void {
    this.#left = true
    this.#keeper?.destroy()
  }

  get #running(): RunningSandbox {
    const { host, cgroups, clock } = this.#deps
    const exec: Exec = (request, signal) => this.exec({ user: 'root', ...request }, signal)
    return { id: this.id, host, paths: this.#paths, initPid: this.#initPid, cgroups, clock, exec }
  }

  /** Where a command is to be. The sandbox's root may have removed an empty group of ours: then it is made again. */
  /** What its first process was given, and every other one is, too. */
  async #given(): Promise<{ env: readonly string[]; gids: readonly number[] }> {
    const text = await readFile(this.#paths.config, 'utf8').catch((cause: unknown) => {
      throw new Fault('unavailable', 'sandbox-gone', `exec in ${this.id}: the sandbox has ended`, { cause })
    })
    const { process } = JSON.parse(text) as {
      process: { env: string[]; user: { additionalGids?: number[] } }
    }
    return { env: process.env, gids: process.user.additionalGids ?? [] }
  }

  async #waitForEnd(keeper: Socket | undefined): Promise<Exit> {
    if (keeper !== undefined) {
      await new Promise<void>(resolve => {
        keeper.once('close', () => resolve())
        keeper.on('error', () => undefined) // 'close' follows.
        keeper.resume()
      })
    }
    // Also after a close: the keeper itself may have been killed while the sandbox lives on.
    while (!this.#left && (await isInit(this.#deps, this.id, this.#initPid)))
      await this.#deps.clock.sleep(keeper?.closed === true ? 250 : POLL_MS)
    if (this.#left) await new Promise<never>(() => undefined)
    const said = await readFile(this.#paths.exit, 'utf8').catch(() => 'signal 9') // No keeper was there to see it.
    const [kind, value] = said.trim().split(' ')
    return parseExit(kind, value)
  }
}

/** Is that process still the first one of that sandbox? Its cgroup says so, whatever became of the number meanwhile. */
export async function isInit(
  deps: Pick<SandboxDeps, 'cgroups' | 'host'>,
  id: SandboxId,
  pid: number,
): Promise<boolean> {
  return (await processesIn(deps.cgroups, cgroupPath(deps.host.layout, id))).includes(pid)
}

/** Finds a running sandbox again; undefined when there is none, or when it is still being started. */
export async function findSandbox(
  id: SandboxId,
  paths: RuntimePaths,
  deps: SandboxDeps,
): Promise<LinuxSandbox | undefined> {
  // What cannot be read was never started here.
  const read = (file: string) => readFile(file, 'utf8').catch(() => undefined)
  const [stateText, pidText] = await Promise.all([read(paths.state), read(paths.pid)])
  if (stateText === undefined || pidText === undefined) return undefined
  const pid = Number(pidText.trim())
  if (!(await isInit(deps, id, pid))) return undefined
  // The last step of a start makes it: without it, runner and keeper were both killed before, and its network is missing.
  if (!existsSync(paths.socket)) return undefined
  const keeper = await watchKeeper(paths.socket)
  const state = JSON.parse(stateText) as SandboxState
  const runtime = await deps.runtimeOf(state.isolation ?? DEFAULT_ISOLATION)
  return new LinuxSandbox(id, pid, state, paths, runtime, deps, keeper)
}
