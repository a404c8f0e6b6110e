import type { Stage } from '../../api/kinds/environment.ts'
import type { Millis } from '../../lib/clock.ts'
import { formatDuration } from '../output/duration.ts'
import { oneLine } from '../output/text.ts'

export interface StageTime {
  readonly name: string
  /** Absent while it runs. */
  readonly tookMs: Millis | undefined
  readonly startedMs: Millis
  readonly message: string | undefined
}

/** Where the time went, from status; times that are no times are left out. */
export function stageTimes(stages: readonly Stage[]): StageTime[] {
  return stages.flatMap(({ name, started, ended, message }) => {
    const startedMs = Date.parse(started)
    if (Number.isNaN(startedMs)) return []
    const endedMs = ended === undefined ? undefined : Date.parse(ended)
    const tookMs = endedMs === undefined || Number.isNaN(endedMs) ? undefined : endedMs - startedMs
    return [{ name: oneLine(name), startedMs, tookMs, message: message && oneLine(message) }]
  })
}

/** `image 1.2 s, disk 3 ms, sandbox 41 ms`. */
export function summarizeStages(stages: readonly Stage[]): string {
  return stageTimes(stages)
    .filter(stage => stage.tookMs !== undefined)
    .map(stage => `${stage.name} ${formatDuration(stage.tookMs!)}`)
    .join(', ')
}
