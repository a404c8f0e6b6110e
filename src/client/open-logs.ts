import type { Readable } from 'node:stream'
import { CHANNEL } from '../api/channels.ts'
import type { EntranceGrant } from '../api/entrance.ts'
import { toFault } from '../lib/fault.ts'
import { enter } from './entrance.ts'

export interface LogsOptions {
  /** Go on with what is written from now on, until `signal` aborts. */
  readonly follow: boolean
  /** Begin with so many of the last lines. Default: all that is kept. */
  readonly tail?: number
}

/** The log of an environment. The stream ends where the log does, or when `signal` aborts; it errs with a fault. */
export async function openLogs(
  grant: EntranceGrant,
  options: LogsOptions,
  signal: AbortSignal,
): Promise<Readable> {
  const { channels, opened, ended } = await enter(grant, options, signal)
  const lines = channels.receive(CHANNEL.stdout)
  ended.then(
    () => lines.finish(),
    error => {
      if (signal.aborted) lines.finish()
      else lines.fail(toFault(error))
    },
  )
  await opened
  return lines
}
