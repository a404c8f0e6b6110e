// A governors' history as JSON lines: first what they remembered, then a line for each round with what they saw and what
// they decided. Played again, the same governors decide the same; changed ones show where they would differ.
import { Fault } from '../../lib/fault.ts'
import type { Decision } from './act.ts'
import type { Governor, Sense } from './governor.ts'
import { decideRound, type States } from './round.ts'

export interface RecordedRound {
  readonly sense: Sense
  readonly decisions: readonly Decision[]
}

export interface Recording {
  /** What each governor remembered when it began. */
  readonly states: States
  readonly rounds: readonly RecordedRound[]
}

export interface ReplayedRound extends RecordedRound {
  /** What they decide now. */
  readonly now: readonly Decision[]
}

export function headLine(states: States): string {
  return `${JSON.stringify({ v: 1, states }, write)}\n`
}

export function roundLine(round: RecordedRound): string {
  return `${JSON.stringify(round, write)}\n`
}

/** Faults with `malformed` when it is none. A last line that was cut off is left out. */
export function parseRecording(text: string): Recording {
  const [head, ...lines] = text.split('\n')
  const { v, states } = parseLine(head ?? '', 1) as { v?: number; states?: States }
  if (v !== 1 || states === undefined) throw refuse(1, 'it is no recording of governors')
  const whole = lines.slice(0, -1)
  return { states, rounds: whole.map((line, at) => parseLine(line, at + 2) as RecordedRound) }
}

/** Decides each round again, from the states that the recording begins with. Governors it does not know begin anew. */
export function replay(
  governors: readonly Governor<unknown>[],
  recording: Recording,
): readonly ReplayedRound[] {
  let states = recording.states
  return recording.rounds.map(round => {
    const decided = decideRound(governors, states, round.sense)
    states = decided.states
    return { ...round, now: decided.decisions }
  })
}

// Lists of pairs say themselves what they are.
const MAP = '#map'
const SET = '#set'

function write(_key: string, value: unknown): unknown {
  if (value instanceof Map) return { [MAP]: [...value] }
  return value instanceof Set ? { [SET]: [...value] } : value
}

function read(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (MAP in value) return new Map(value[MAP] as [unknown, unknown][])
  return SET in value ? new Set(value[SET] as unknown[]) : value
}

function parseLine(line: string, number: number): unknown {
  try {
    return JSON.parse(line, read)
  } catch (cause) {
    throw refuse(number, (cause as Error).message, cause)
  }
}

const refuse = (line: number, why: string, cause?: unknown): Fault =>
  new Fault('malformed', 'recording-malformed', `read a recording, line ${line}: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'a recording begins with the line of states that the runner wrote when it opened the file',
  })
