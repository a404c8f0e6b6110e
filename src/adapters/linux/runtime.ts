// What makes a sandbox of a config and speaks with it: the one place where isolations differ. Disk, mounts, the link to the
// network with its rules, and the keeper, which outlives the runner, are the same for all of them.
import type { Duplex } from 'node:stream'
import type { Isolation } from '../../api/isolation.ts'
import type { SandboxId, SandboxSpec, Stage } from '../../core/driver.ts'
import type { Exec } from '../../core/exec.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Cgroups } from './cgroups.ts'
import type { Step } from './keeper.ts'
import type { RuntimePaths } from './layout.ts'
import type { ProcessConfig, SandboxConfig } from './oci-config.ts'
import type { Host } from './sandbox-plan.ts'

export interface SandboxPlace {
  readonly id: SandboxId
  readonly host: Host
  readonly paths: RuntimePaths
}

export interface RunningSandbox extends SandboxPlace {
  /** The process on the host that lives exactly as long as the sandbox. */
  readonly initPid: number
  readonly cgroups: Cgroups
  readonly clock: Clock
  /** As root inside. */
  readonly exec: Exec
}

/** Files of one command, beside the sandbox. */
export interface ExecFiles {
  /** The `process` of the command. */
  readonly json: string
  /** Where the runtime writes the command's number on the host, and the one inside where that is another. */
  readonly pid: string
  readonly inside: string
  readonly log: string
  /** A socket that takes the terminal. Absent: it has none. */
  readonly console: string | undefined
}

export interface Command {
  /** The sandbox's first process is an init system of its own. */
  readonly hasInit: boolean
  readonly group: 'session' | 'work'
}

export interface ExecPlan {
  /** Options of exec.pl. */
  readonly options: readonly string[]
  /** The runtime and its arguments: it starts the command and leaves it to exec.pl. */
  readonly argv: readonly string[]
}

export interface Runtime {
  readonly isolation: Isolation
  /** An image's own init system (systemd) can be the first process. */
  readonly runsInitSystems: boolean
  /** CDI devices of the host can be given. */
  readonly givesDevices: boolean
  /** What ends with which step of a start. */
  readonly stages: Readonly<Record<string, Stage>>
  /** Makes the sandbox's control groups, at `path` of every hierarchy. `owner`: the id of its root on the host. */
  makeCgroups(cgroups: Cgroups, path: string, limits: Limits, owner: number): Promise<void>
  /** The OCI config, as this runtime understands it. */
  configure(config: SandboxConfig): object
  /** The OCI `process` of a command, likewise. */
  configureProcess(config: ProcessConfig): object
  /** From a root that is mounted to processes that run, with the sandbox's link to the network. */
  startSteps(place: SandboxPlace, start: { readonly link: Step; readonly hasInit: boolean }): Step[]
  /** Keeps what a start has found out for those that follow. */
  learn(place: SandboxPlace): Promise<void>
  /** Makes again what root inside has removed of the groups that commands are put into. */
  keepGroups(cgroups: Cgroups, place: SandboxPlace): Promise<void>
  execPlan(place: SandboxPlace, files: ExecFiles, command: Command): ExecPlan
  /** At most 1 MiB of a file as root inside sees it; '' when there is none. Faults with `unavailable` when nothing answers. */
  readInside(sandbox: RunningSandbox, path: string, signal: AbortSignal): Promise<string>
  /** See `Sandbox.dial`. */
  dial(sandbox: RunningSandbox, port: number, signal: AbortSignal): Promise<Duplex>
  /**
   * Sends SIGTERM to every process inside but the first one, or SIGHUP to those of them that lead a terminal's session;
   * says how many there are besides the first.
   */
  tell(sandbox: RunningSandbox, what: 'SIGTERM' | 'SIGHUP' | undefined): Promise<number>
  /** Ends everything inside at once. */
  end(sandbox: RunningSandbox): Promise<void>
}

export interface Limits {
  readonly memoryBytes: number
  readonly pids: number
}

/** What the image starts as its first process, if it can be started here. */
export const ownInit = (spec: SandboxSpec, runtime: Runtime): readonly string[] | undefined =>
  runtime.runsInitSystems ? spec.image.init : undefined
