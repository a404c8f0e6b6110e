import { formatAge, formatDuration } from '../output/duration.ts'
import type { Style } from '../output/style.ts'
import { formatTable } from '../output/table.ts'
import { escapeControls, oneLine } from '../output/text.ts'
import type { Comparison, ExplainedCondition, Explanation } from './explain.ts'

/** For people: one section for each question, those without an answer left out. */
export function renderExplanation(
  explanation: Explanation & { readonly usage: readonly string[] },
  style: Style,
): string {
  const { subject, summary, asked, conditions, stages, usage, events, deletion, next } = explanation
  const sections = [
    `${style.bold(oneLine(subject))}\n${escapeControls(summary)}\n`,
    section('Asked for, and what is', asked.length === 0 ? '' : comparisons(asked, style), style),
    section(
      'Why',
      conditions.length === 0 ? '' : conditions.map(each => condition(each, style)).join(''),
      style,
    ),
    section('Where the time went', stages.length === 0 ? '' : stageTable(stages), style),
    section('What it uses now', usage.map(line => `${oneLine(line)}\n`).join(''), style),
    section('What happened', events.length === 0 ? '' : eventTable(events, style), style),
    section(
      'Deletion',
      deletion === undefined
        ? ''
        : `asked for ${formatAge(deletion.sinceMs)} ago; waits for ${oneLine(deletion.waitsFor.join(', ') || 'nothing')}\n`,
      style,
    ),
    section('Next', next.map(line => `${escapeControls(line)}\n`).join(''), style),
  ]
  return sections.filter(text => text !== '').join('\n')
}

function section(title: string, body: string, style: Style): string {
  if (body === '') return ''
  const indented = body.replace(/^(?=.)/gm, '  ')
  return `${style.bold(title)}\n${indented}`
}

function comparisons(asked: readonly Comparison[], style: Style): string {
  return formatTable(
    ['field', 'asked', 'is'],
    asked.map(({ field, asked: wanted, is, agrees }) => [
      field,
      wanted,
      { text: is ?? '', ...(agrees === false ? { paint: style.yellow } : {}) },
    ]),
  ).replace(/ +$/gm, '')
}

function condition({ type, status, reason, message, hint, ageMs }: ExplainedCondition, style: Style): string {
  const mark = status === 'True' ? style.green('✓') : status === 'False' ? style.red('✗') : style.yellow('?')
  const because = reason === '' || reason === type ? '' : ` ${oneLine(reason)}`
  const head = `${mark} ${oneLine(type)} is ${status}:${because} ${style.dim(`(for ${formatAge(ageMs)})`)}\n`
  const said = message === '' ? '' : `    ${oneLine(message)}\n`
  return head + said + (hint === undefined ? '' : `    hint: ${oneLine(hint)}\n`)
}

function eventTable(events: Explanation['events'], style: Style): string {
  return formatTable(
    ['age', 'reason', 'count', 'message'],
    events.map(({ ageMs, type, reason, count, message }) => [
      formatAge(ageMs),
      { text: reason, ...(type === 'Warning' ? { paint: style.yellow } : {}) },
      String(count),
      message,
    ]),
  ).replace(/ +$/gm, '')
}

function stageTable(stages: Explanation['stages']): string {
  return formatTable(
    ['stage', 'took', ''],
    stages.map(({ name, tookMs, running, message }) => [
      name,
      running ? `${formatDuration(tookMs)} so far` : formatDuration(tookMs),
      // What it did last says nothing of the whole; conditions say how it went.
      running ? (message ?? '') : '',
    ]),
  ).replace(/ +$/gm, '')
}
