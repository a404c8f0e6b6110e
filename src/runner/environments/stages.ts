import type { Stage } from '../../api/kinds/environment.ts'
import { type Clock, type Millis, microTimestamp } from '../../lib/clock.ts'

/** Where the time of one start goes; stages may overlap. */
export interface Stages {
  /** Times `body` as a stage; a failing one is ended too, and remembered as the one that failed. */
  during<T>(name: string, body: () => Promise<T>): Promise<T>
  /** A stage that somebody else timed. */
  add(name: string, startedMs: Millis, endedMs: Millis): void
  /** What a stage is at. */
  say(name: string, message: string): void
  list(): readonly Stage[]
  readonly failed: string | undefined
}

interface Timed {
  readonly name: string
  readonly startedMs: Millis
  endedMs?: Millis
  message?: string
}

export function createStages(clock: Clock): Stages {
  const all: Timed[] = []
  let failed: string | undefined
  return {
    async during(name, body) {
      const stage: Timed = { name, startedMs: clock.now() }
      all.push(stage)
      try {
        return await body()
      } catch (error) {
        failed ??= name
        throw error
      } finally {
        stage.endedMs = clock.now()
      }
    },
    add: (name, startedMs, endedMs) => void all.push({ name, startedMs, endedMs }),
    say(name, message) {
      const stage = all.findLast(each => each.name === name)
      if (stage !== undefined) stage.message = message.slice(0, 200)
    },
    list: () =>
      all.map(({ name, startedMs, endedMs, message }) => ({
        name,
        started: microTimestamp(startedMs),
        ...(endedMs === undefined ? {} : { ended: microTimestamp(endedMs) }),
        ...(message === undefined ? {} : { message }),
      })),
    get failed() {
      return failed
    },
  }
}
