import type { Readable, Writable } from 'node:stream'

export interface TtySize {
  readonly columns: number
  readonly rows: number
}

export interface ExecRequest {
  /** Program and arguments; no shell sees them. */
  readonly argv: readonly string[]
  /** Default: the image's working directory, else `/`. */
  readonly cwd?: string
  /** `name`, `uid` or either with `:group`, resolved inside the sandbox. Default: the image's user. */
  readonly user?: string
  /** Added to the environment's own variables. */
  readonly env?: Readonly<Record<string, string>>
  /** Whom it is for: people wait for every answer of a `session`, `work` gets the rest. Default: `session`. */
  readonly group?: 'session' | 'work'
  /** With it the command gets a terminal of that size, and `stderr` is absent. */
  readonly tty?: TtySize
}

/** How a process ended: expected either way. */
export type Exit =
  | { readonly code: number }
  | { readonly signal: NodeJS.Signals; readonly oomKilled?: boolean }

/**
 * A running command. Back-pressure is the streams' own. Ending `stdin` ends the command's input. `exit` resolves after
 * the last byte of output has been handed to the streams; it rejects only when the sandbox itself was lost.
 */
export interface ExecStream {
  readonly stdin: Writable
  readonly stdout: Readable
  /** Absent with a terminal. */
  readonly stderr: Readable | undefined
  /** Changes the terminal's size; does nothing without one. */
  resize(size: TtySize): void
  readonly exit: Promise<Exit>
}

/** Aborting `signal` kills the command and its children. */
export type Exec = (request: ExecRequest, signal: AbortSignal) => Promise<ExecStream>
