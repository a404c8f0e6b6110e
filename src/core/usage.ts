// What runners measure, kept apart from the resources.
import type { UsageReport } from '../api/usage.ts'
import type { Millis } from '../lib/clock.ts'

export interface ToldUsage {
  readonly toldAtMs: Millis
  readonly report: UsageReport
}

/** The latest report of each runner; lost with the database's process, and told again within seconds. */
export interface UsageStore {
  /** Replaces what the runner told before. Resolves with when somebody last looked; 0: nobody has. */
  put(runnerUid: string, report: UsageReport, nowMs: Millis): Promise<Millis>
  /** By runner, of those that have told something later than `sinceMs`. Whoever asks is remembered as looking. */
  find(runnerUids: readonly string[], nowMs: Millis, sinceMs: Millis): Promise<ReadonlyMap<string, ToldUsage>>
}
