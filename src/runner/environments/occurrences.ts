// What is told about an environment besides its status: what `kubectl describe` shows of its latest starts, and every
// failure with its reason. A start from what is here already is one event, the first one of a repository three or four.
import type { Stage } from '../../api/kinds/environment.ts'
import type { Resource } from '../../api/resource.ts'
import type { ClonedContent } from '../../core/content.ts'
import type { DiskCopy } from '../../core/driver.ts'
import { type Occurrence, withHint } from '../../core/events.ts'
import type { Millis } from '../../lib/clock.ts'
import type { Fault } from '../../lib/fault.ts'
import type { ChosenImage } from './image.ts'
import { camelCase } from './status.ts'

/** All but what it is about. */
export type Told = Omit<Occurrence, 'regarding'>

export function pulling(reference: string): Told {
  return { type: 'Normal', reason: 'Pulling', note: `fetching image ${reference}` }
}

export function pulled({ reference, fallback }: ChosenImage, stages: readonly Stage[]): Told {
  const took = tookOf(stages, 'image')
  return fallback === undefined
    ? { type: 'Normal', reason: 'Pulled', note: `image ${reference} is here${took}` }
    : { type: 'Warning', reason: 'ImageFallback', note: `using ${reference}${took}: ${fallback}` }
}

export function contentReady({ directory, commit, branch }: ClonedContent, stages: readonly Stage[]): Told {
  const what = `commit ${commit.slice(0, 12)}${branch === undefined ? '' : ` of ${branch}`}`
  const note = `/workspaces/${directory} is at ${what}${tookOf(stages, 'content')}`
  return { type: 'Normal', reason: 'ContentReady', note }
}

export function copied(what: string, { pausedMs, extents }: DiskCopy): Told {
  const pieces = extents === undefined ? '' : `; its disk lies in ${extents} pieces`
  const pause = pausedMs > 0 ? `, which was held up for ${duration(pausedMs)}` : ''
  return { type: 'Normal', reason: 'DiskCopied', note: `the disk is a copy of ${what}${pause}${pieces}` }
}

/** `stages` is empty when it was found running. */
export function started(epoch: number, stages: readonly Stage[]): Told {
  const parts = stages.filter(({ name, ended }) => ended !== undefined && !name.includes('/'))
  const total = parts.length === 0 ? '' : `, after ${duration(spanOf(parts))}`
  const each = parts.map(part => `${part.name} ${duration(spanOf([part]))}`).join(', ')
  return {
    type: 'Normal',
    reason: 'Started',
    note: `it runs, epoch ${epoch}${total}${each === '' ? '' : `: ${each}`}`,
  }
}

const FAILED: Readonly<Record<string, string>> = { image: 'FailedImage', content: 'FailedContent' }

/** Which attempt it was is left out: the same again is then the same event, and counts. */
export function failed(fault: Fault, stage: string | undefined, retries: boolean): Told {
  const next = retries ? 'it is tried again' : 'it is not tried again'
  const reason = FAILED[stage ?? ''] ?? 'FailedStart'
  return {
    type: 'Warning',
    reason,
    action: 'Starting',
    note: `${camelCase(fault.code)}: ${withHint(fault)}; ${next}`,
  }
}

/** It ended by itself; `exit` says how. */
export function ended(exit: string): Told {
  return {
    type: 'Warning',
    reason: 'SandboxEnded',
    note: `${exit}; it is started again`,
    action: 'Restarting',
  }
}

export function stopped(tookMs: Millis): Told {
  const note = `stopped, as asked, after ${duration(tookMs)}; its disk is kept`
  return { type: 'Normal', reason: 'Stopped', note, action: 'Stopping' }
}

export function failedStop(fault: Fault): Told {
  return { type: 'Warning', reason: 'FailedStop', note: withHint(fault), action: 'Stopping' }
}

export function deleted(tookMs: Millis): Told {
  const note = `sandbox and disk are removed, after ${duration(tookMs)}`
  return { type: 'Normal', reason: 'Deleted', note, action: 'Deleting' }
}

export function failedDelete(fault: Fault): Told {
  return {
    type: 'Warning',
    reason: 'FailedDelete',
    note: `${withHint(fault)}; it is tried again`,
    action: 'Deleting',
  }
}

export function room(held: boolean): Told {
  return held
    ? { type: 'Warning', reason: 'HeldUp', note: 'its host has no room left: it waits until there is some' }
    : { type: 'Normal', reason: 'GoesOn', note: 'its host has room again: it goes on' }
}

/** Tells them of one environment. */
export function tellOf(
  record: (occurrence: Occurrence) => void,
  regarding: Resource<'Environment'>,
): (told: Told) => void {
  return told => record({ ...told, regarding })
}

function tookOf(stages: readonly Stage[], name: string): string {
  const stage = stages.findLast(each => each.name === name && each.ended !== undefined)
  return stage === undefined ? '' : `, after ${duration(spanOf([stage]))}`
}

/** From the first beginning to the last end: stages overlap. */
function spanOf(stages: readonly Stage[]): Millis {
  const starts = stages.map(({ started: each }) => Date.parse(each))
  const ends = stages.map(({ ended: each = '' }) => Date.parse(each))
  return Math.max(...ends) - Math.min(...starts)
}

function duration(ms: Millis): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
