// Who is idle: pure. An environment is idle while nobody is at its entrances (a terminal, a command, a file, a port) and
// next to nothing happens in it; a terminal at which nobody types was left open, and counts for nobody: its processors and its network are quiet. What waits for a clock or for somebody on the
// network without using either is idle, too: nothing tells it from what waits for nothing. A class of environments that
// must answer to nobody at the gateway says `suspendAfter: '0'`.
import type { Millis } from '../../lib/clock.ts'
import type { EnvironmentTerms } from './governor.ts'
import type { EnvironmentSample } from './sample.ts'

/** Data only. */
export interface Quiet {
  /** Since when it has been quiet, as far as was seen. */
  readonly sinceMs: Millis
  /** Of the window that is being looked at: when it began, and what the counters said then. */
  readonly windowMs: Millis
  readonly windowCpuUs: number
  readonly windowBytes: number
}

// What ticks now and then (a file watcher, an idle Docker, a language server) must not look busy in one short look.
const WINDOW_MS: Millis = 10_000
/**
 * Share of one processor. Measured over ten seconds: an idle dockerd 0.3 %, a language server 0.1 to 0.5 %, `vite` that
 * watches 1 % (2026-11). A build, a test run, a server that answers are far above it.
 */
const BUSY_SHARE = 0.02
/** In a window: keepalives and a lookup of a name are less, any answer of a server with content is more. */
const BUSY_BYTES = 16 * 1024

/** What is known after another look. `before` absent: it is seen for the first time, and quiet since just now. */
export function watchQuiet(before: Quiet | undefined, sample: EnvironmentSample, atMs: Millis): Quiet {
  const { network } = sample
  // Not looked at this time: as before.
  const bytes = network === undefined ? (before?.windowBytes ?? 0) : network.receivedBytes + network.sentBytes
  const fresh = { windowMs: atMs, windowCpuUs: sample.cpu.usageUs, windowBytes: bytes }
  // Counters that went back are those of a new sandbox; a clock that did is another clock.
  if (
    before === undefined ||
    atMs < before.windowMs ||
    sample.cpu.usageUs < before.windowCpuUs ||
    bytes < before.windowBytes
  )
    return { sinceMs: atMs, ...fresh }
  const passedMs = Math.max(atMs - before.windowMs, WINDOW_MS)
  // A window's share is exceeded as soon as so much was used, not only at its end.
  const isBusy =
    sample.cpu.usageUs - before.windowCpuUs > passedMs * 1000 * BUSY_SHARE ||
    bytes - before.windowBytes > (BUSY_BYTES * passedMs) / WINDOW_MS
  if (isBusy) return { sinceMs: atMs, ...fresh }
  return atMs - before.windowMs < WINDOW_MS ? before : { sinceMs: before.sinceMs, ...fresh }
}

/** How long it has been idle; 0 while somebody is connected. */
export function idleMs(quiet: Quiet, terms: EnvironmentTerms, atMs: Millis): Millis {
  return terms.connections > 0 ? 0 : silentMs(quiet, terms, atMs)
}

/** The same for who leaves a terminal open: 0 while somebody waits for a command to end. */
export function unattendedMs(quiet: Quiet, terms: EnvironmentTerms, atMs: Millis): Millis {
  return isAwaited(terms) ? 0 : silentMs(quiet, terms, atMs)
}

/** Somebody waits for something other than a terminal. */
export const isAwaited = ({ connections, terminals = 0 }: EnvironmentTerms): boolean =>
  connections > terminals

/** The same for one that people may have left open: nobody has been heard and nothing has happened for so long. */
export function silentMs(quiet: Quiet, { heardMs = 0 }: EnvironmentTerms, atMs: Millis): Millis {
  return Math.max(0, atMs - Math.max(quiet.sinceMs, heardMs))
}
