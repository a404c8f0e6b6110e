import type { Readable } from 'node:stream'
import type { Exec } from '../core/exec.ts'

/** What is behind the gateway: the environments that run here. Each call faults with `not_found` or `unavailable`. */
export interface GatewayBackend {
  /** Runs commands in the environment with this uid. */
  exec(environmentUid: string): Promise<Exec>
  /**
   * Takes a git bundle for an environment that waits for one. Resolves when it has all of it. A stream that errs was
   * broken off: what came is not the whole, and nothing is to be made of it.
   */
  receiveContent(environmentUid: string, stream: Readable, signal: AbortSignal): Promise<void>
  /** The environment's log; with `follow` it goes on until `signal` aborts. */
  logs(environmentUid: string, options: LogsRequest, signal: AbortSignal): Promise<Readable>
}

export interface LogsRequest {
  readonly follow: boolean
  /** So many of the last lines. Absent: all that is kept. */
  readonly tail?: number | undefined
}
