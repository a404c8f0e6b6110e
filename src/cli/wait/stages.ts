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
  readonly hasFailed?: boolean
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

/** `image 1.2 s, disk 3 ms, start 41 ms (mount 5 ms, sandbox 30 ms)`: parts of a stage are called `STAGE/PART`. */
export function summarizeStages(stages: readonly Stage[]): string {
  const times = stageTimes(stages).filter(stage => stage.tookMs !== undefined)
  const words = ({ name, tookMs }: StageTime, prefix = '') =>
    `${name.slice(prefix.length)} ${formatDuration(tookMs!)}`
  return times
    .filter(({ name }) => !name.includes('/'))
    .map(stage => {
      const prefix = `${stage.name}/`
      const parts = times.filter(({ name }) => name.startsWith(prefix)).map(part => words(part, prefix))
      return parts.length === 0 ? words(stage) : `${words(stage)} (${parts.join(', ')})`
    })
    .join(', ')
}
