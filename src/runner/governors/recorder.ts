// Keeps the governors' latest history in two files of bounded size, for whoever wants to know later why something was held
// up, or to have it decided again by a test.
import { closeSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { headLine, type RecordedRound, roundLine } from '../../core/governor/recording.ts'
import type { States } from '../../core/governor/round.ts'
import { toFault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'

/** Of each of the two: some ten minutes of a hundred environments, hours of a few. */
const MOST_BYTES = 64 * 2 ** 20

export interface Recorder {
  /** `states`: what they remembered before. Never throws; what cannot be written is not recorded, and said once. */
  record(states: States, round: RecordedRound): void
  close(): void
}

/** `path` is the newer file, `path.1` the older; each can be played by itself. */
export function createRecorder(path: string, log: Log, mostBytes = MOST_BYTES): Recorder {
  let file: number | undefined
  let bytes = 0
  let broken = false

  const open = (states: States): number => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    try {
      renameSync(path, `${path}.1`)
    } catch {
      // There was none.
    }
    const opened = openSync(path, 'w', 0o600)
    bytes = writeSync(opened, headLine(states))
    return opened
  }
  const close = () => {
    if (file !== undefined) closeSync(file)
    file = undefined
  }

  return {
    record(states, round) {
      if (broken) return
      try {
        if (bytes > mostBytes) close()
        file ??= open(states)
        bytes += writeSync(file, roundLine(round))
      } catch (error) {
        broken = true
        const { message } = toFault(error)
        log.warn({ path, message }, 'governors are not recorded any more')
      }
    },
    close,
  }
}
