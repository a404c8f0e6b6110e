// Progress for people. On a terminal each stage is a line that lives while the stage does; elsewhere each stage is
// printed when it begins, and a long one says now and then what it is doing. Everything goes to standard error: standard output belongs to results.
import { type Condition, findCondition } from '../../api/conditions.ts'
import type { Resource } from '../../api/resource.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import type { Deps, Output } from '../deps.ts'
import { terminalSize } from '../exec/terminal.ts'
import { formatDuration } from '../output/duration.ts'
import { type Style, styleFor } from '../output/style.ts'
import { oneLine } from '../output/text.ts'
import { type StageTime, stageTimes } from './stages.ts'
import { failingCondition } from './verdict.ts'

const FRAME_MS: Millis = 100
// Often enough to see that something happens, seldom enough for a log file.
const NEWS_MS: Millis = 5_000
// Room for a spinner before, and for a time after a label.
const MARGIN = 14
const LABEL_MAX = 60
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

/** A sentence; a function is asked again at each frame, where there are frames. */
export type Progress = string | { readonly once: string; readonly live: () => string }

export interface Display {
  /** What is known now. `progress` is shown while no stage is under way; '' for none. */
  show(stages: readonly StageTime[], progress: Progress): void
  /** A line that stays. */
  note(text: string): void
  /** What is done stays on the screen, what was under way goes. */
  close(): void
}

/** The display that fits: live on a terminal, plain elsewhere, none when `quiet`. */
export function openDisplay(deps: Pick<Deps, 'stderr' | 'env' | 'clock'>, quiet = false): Display {
  const style = styleFor(deps.stderr, deps.env)
  if (quiet) return { show: () => undefined, note: () => undefined, close: () => undefined }
  const isLive = deps.stderr.isTTY === true && deps.env.TERM !== 'dumb'
  return isLive ? new LiveDisplay(deps.stderr, deps.clock, style) : new PlainDisplay(deps.stderr, deps.clock)
}

/** Stages of the start that the spec asks for now: those of an earlier one say nothing. */
export function freshStages({ metadata, status }: Resource<'Environment'>): StageTime[] {
  if (status.observedGeneration < metadata.generation) return []
  const failed = failedStage(status.conditions)
  return stageTimes(status.stages).map((stage, index, { length }) => ({
    ...stage,
    hasFailed: failed === stage.name || (failed === 'last' && index === length - 1),
  }))
}

// A stage says when it ended, and the conditions how.
const STAGE_OF: Readonly<Record<string, string>> = { ImageReady: 'image', ContentReady: 'content' }

function failedStage(conditions: readonly Condition[]): string | undefined {
  // Without a fault it is not there yet, which is no failure.
  if (findCondition(conditions, 'Ready')?.fault === undefined) return undefined
  const condition = failingCondition(conditions)
  return condition === undefined ? undefined : (STAGE_OF[condition.type] ?? 'last')
}

/** Parts of a stage (`start/mount`) are too quick to be news; the summary has them. */
function isWhole({ name }: StageTime): boolean {
  return !name.includes('/')
}

class PlainDisplay implements Display {
  readonly #output: Output
  readonly #clock: Clock
  /** When a stage was last printed, and what was said of it. */
  readonly #printed = new Map<string, { readonly atMs: Millis; readonly message: string | undefined }>()
  #progress = ''

  constructor(output: Output, clock: Clock) {
    this.#output = output
    this.#clock = clock
  }

  show(stages: readonly StageTime[], state: Progress): void {
    const progress = typeof state === 'string' ? state : state.once
    for (const stage of stages.filter(isWhole)) {
      const { name, message } = stage
      if (!this.#isNews(stage)) continue
      this.#printed.set(name, { atMs: this.#clock.now(), message })
      this.#output.write(message === undefined || message === '' ? `${name} …\n` : `${name}: ${message}\n`)
    }
    const isIdle = stages.every(stage => stage.tookMs !== undefined)
    if (!isIdle || progress === '' || progress === this.#progress) return
    this.#progress = progress
    this.#output.write(`${oneLine(progress)}\n`)
  }

  #isNews({ name, message, tookMs }: StageTime): boolean {
    const before = this.#printed.get(name)
    if (before === undefined) return true
    if (tookMs !== undefined || message === undefined || message === before.message) return false
    return this.#clock.now() - before.atMs >= NEWS_MS
  }

  note(text: string): void {
    this.#output.write(`${text}\n`)
  }

  close(): void {}
}

class LiveDisplay implements Display {
  readonly #output: Output
  readonly #clock: Clock
  readonly #style: Style
  readonly #stop = new AbortController()
  readonly #startedMs: Millis
  #stages: readonly StageTime[] = []
  #progress: Progress = ''
  #drawnLines = 0
  #frame = 0

  constructor(output: Output, clock: Clock, style: Style) {
    this.#output = output
    this.#clock = clock
    this.#style = style
    this.#startedMs = clock.now()
    void this.#animate()
  }

  show(stages: readonly StageTime[], progress: Progress): void {
    this.#stages = stages.filter(isWhole)
    this.#progress = progress
    this.#draw()
  }

  note(text: string): void {
    this.#write(`${text}\n`)
    this.#draw()
  }

  close(): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    const done = this.#stages.filter(stage => stage.tookMs !== undefined)
    this.#write(done.map(stage => `${this.#line(stage)}\n`).join(''))
  }

  async #animate(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#clock.sleep(FRAME_MS, signal)
      } catch {
        // Stopped, which is how every animation ends.
        return
      }
      this.#frame += 1
      this.#draw()
    }
  }

  #draw(): void {
    const lines = this.#stages.map(stage => this.#line(stage))
    const progress = typeof this.#progress === 'string' ? this.#progress : this.#progress.live()
    const isIdle = this.#stages.every(stage => stage.tookMs !== undefined)
    if (isIdle && progress !== '') {
      lines.push(this.#running(oneLine(progress), this.#clock.now() - this.#startedMs))
    }
    this.#write(lines.map(line => `${line}\n`).join(''))
    this.#drawnLines = lines.length
  }

  /** Replaces what was drawn; in one piece, so that nothing flickers. The cursor may stand behind an echoed ^C. */
  #write(text: string): void {
    const erase = this.#drawnLines > 0 ? `\r\u001b[${this.#drawnLines}A\u001b[0J` : ''
    this.#drawnLines = 0
    if (erase + text !== '') this.#output.write(erase + text)
  }

  #line({ name, message, tookMs, startedMs, hasFailed }: StageTime): string {
    const style = this.#style
    // What it did last says nothing of the whole.
    if (tookMs !== undefined)
      return `${hasFailed === true ? style.red('✗') : style.green('✓')} ${this.#fit(name)} ${style.dim(formatDuration(tookMs))}`
    const label = message === undefined || message === '' ? name : `${name}  ${message}`
    return this.#running(label, this.#clock.now() - startedMs)
  }

  #running(label: string, elapsedMs: Millis): string {
    const spinner = SPINNER[this.#frame % SPINNER.length]
    return `${this.#style.yellow(spinner ?? '')} ${this.#fit(label)} ${this.#style.dim(formatDuration(elapsedMs))}`
  }

  /** Never wider than the screen: a wrapped line would be erased by half. */
  #fit(label: string): string {
    const room = Math.min(LABEL_MAX, Math.max(10, terminalSize(this.#output).columns - MARGIN))
    return label.length > room ? `${label.slice(0, room - 1)}…` : label.padEnd(room)
  }
}
