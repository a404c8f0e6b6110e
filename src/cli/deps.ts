// What the command line needs from the world. `src/main` makes these; nothing else in this folder touches the process.
import type { Readable, Writable } from 'node:stream'
import type { EntranceGrant, EntranceKind } from '../api/entrance.ts'
import type { Key } from '../api/resource.ts'
import type { ExecRequest, ExecStream } from '../core/exec.ts'
import type { Store } from '../core/store.ts'
import type { Clock } from '../lib/clock.ts'

/** Standard input; with a terminal it has a raw mode. `process.stdin` fits. */
export interface Input extends Readable {
  readonly isTTY?: boolean
  setRawMode?(raw: boolean): unknown
}

/** Standard output or error. On a terminal it has a size and emits `resize`. `process.stdout` fits. */
export interface Output extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

/** How the program was called, and how commands are written that it tells people to type. */
export type ProgramName = 'bothy' | 'kubectl bothy'

export interface Deps {
  /**
   * Opens what talks to the server. Called at most once, and only by verbs that need it. `openSession` of
   * `session.ts` is the implementation; it loads the client only then.
   */
  connect(options: ConnectOptions): Promise<Session>

  // Verbs that are processes. Each resolves when its work is done; `signal` asks it to stop in good order.
  /** Server and runner in the foreground, until `signal` aborts. Environments go on. */
  up(options: UpOptions): Promise<void>
  down(options: DownOptions): Promise<void>
  server(options: ServerOptions): Promise<void>
  /** Faults as the server does; says on standard output which runner this machine is now. */
  runnerEnroll(options: RunnerEnrollOptions): Promise<void>
  runnerRun(options: RunnerRunOptions): Promise<void>
  doctor(options: DoctorOptions): Promise<DoctorReport>

  readonly stdin: Input
  readonly stdout: Output
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
  /** The working directory: what relative paths of arguments are relative to. */
  readonly cwd: string
  /** Is the user root? Decides where data lies by default. */
  readonly isRoot: boolean
  readonly clock: Clock
  readonly version: string
  readonly program: ProgramName
  /** Absolute path of the file that people run as `bothy`. */
  readonly launcher: string
  /** Aborts at the first SIGINT, SIGTERM or SIGHUP. In raw mode a terminal's ^C is a byte and does not abort it. */
  readonly signal: AbortSignal
}

/** `--context` and `--namespace`, as far as they were given. */
export interface ConnectOptions {
  readonly context?: string
  readonly namespace?: string
}

export interface RequestOptions {
  readonly body?: unknown
  readonly query?: Readonly<Record<string, string>>
  readonly contentType?: string
  readonly signal?: AbortSignal
}

/** One server, one principal. */
export interface Session {
  readonly store: Store
  /** Of namespaced kinds, when the command names none. */
  readonly namespace: string
  readonly server: string
  request<T>(method: string, path: string, options?: RequestOptions): Promise<T>
  entrance(key: Key, kind: EntranceKind): Promise<EntranceGrant>
  openExec(grant: EntranceGrant, request: ExecRequest, signal: AbortSignal): Promise<ExecStream>
  uploadContent(grant: EntranceGrant, stream: Readable, signal: AbortSignal): Promise<void>
  openLogs(
    grant: EntranceGrant,
    options: { readonly follow: boolean; readonly tail?: number },
    signal: AbortSignal,
  ): Promise<Readable>
  close(): Promise<void>
}

/** `--listen`, parsed: an IP address and a port, 0 for any free one. */
export interface Address {
  readonly host: string
  readonly port: number
}

interface ProcessOptions {
  readonly signal: AbortSignal
  /** Absolute. `--data`, else BOTHY_DATA_DIR, else `defaultDataDir`. */
  readonly dataDir: string
}

export interface UpOptions extends ProcessOptions {
  /** Absent: where it listened last, by default 127.0.0.1:7766, or the next port that is free. */
  readonly listen?: Address
  /** Throw-away data and the fake driver, for working on Bothy itself. */
  readonly dev: boolean
  /**
   * Make this environment once everything is up (see `first-environment.ts`): a GIT_URL, a FOLDER, or 'hello', the
   * example that is shipped along.
   */
  readonly first?: { readonly source: string } | 'hello'
}

export interface DownOptions extends ProcessOptions {
  /** Also remove what was made on the host, data aside. */
  readonly all: boolean
}

export interface ServerOptions extends ProcessOptions {
  readonly listen?: Address
}

export interface RunnerEnrollOptions extends ProcessOptions {
  /** Overrides the address in the token. */
  readonly server?: string
  /** The one-time token, read from `--token-file FILE` or standard input; never from the arguments. */
  readonly token: string
}

export interface RunnerRunOptions extends ProcessOptions {
  /** Where clients reach its gateway directly. Absent: through the relay only. */
  readonly gateway?: Address
}

export interface DoctorOptions extends ProcessOptions {}

export interface DoctorCheck {
  readonly name: string
  readonly ok: boolean
  /** Without it no environment can run here; otherwise something is slower or missing. */
  readonly required: boolean
  readonly found: string
  readonly hint?: string
}

export interface DoctorReport {
  /** Can environments run on this machine? */
  readonly ok: boolean
  readonly checks: readonly DoctorCheck[]
}
