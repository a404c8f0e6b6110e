// The table of `bothy top`, from figures alone.
import type { EnvironmentUsageList, EnvironmentUsageObject, RunnerUsageObject } from '../../api/usage.ts'
import type { Millis } from '../../lib/clock.ts'
import { formatAge } from '../output/duration.ts'
import type { Style } from '../output/style.ts'
import { type Cell, formatTable } from '../output/table.ts'
import { oneLine } from '../output/text.ts'
import { bar, compact, percent } from './figures.ts'

export interface Rendering {
  readonly now: Millis
  readonly style: Style
  readonly wide: boolean
  readonly withNamespace: boolean
  /** Of the terminal; absent: as wide as it gets. */
  readonly columns?: number
}

type Row = EnvironmentUsageObject

interface Column {
  readonly name: string
  /** The higher, the sooner it goes where there is no room. */
  readonly expendable: number
  readonly cell: (row: Row) => Cell | string
}

const BAR = 10
/** Figures that are older are said to be. */
const FRESH_MS: Millis = 4_000
/** More hosts are one line. */
const HOSTS = 4
const GAP = 3

/** `items` in the order in which they are shown. */
export function renderUsage(
  items: readonly EnvironmentUsageObject[],
  runners: EnvironmentUsageList['runners'],
  rendering: Rendering,
): string {
  const cores = new Map(runners.map(each => [`${each.metadata.namespace}/${each.metadata.name}`, each]))
  const hostOf = ({ metadata, runner }: Row) => cores.get(`${metadata.namespace}/${runner}`)?.usage.cores
  const known = columnsOf(rendering, hostOf).filter(column => isKnown(column, items))
  const columns = columnsThatFit(known, items, rendering.columns)
  const table = formatTable(
    columns.map(each => each.name),
    items.map(item => columns.map(column => column.cell(item))),
  )
  return hostLines(runners, rendering) + table.replace(/ +$/gm, '')
}

function columnsOf(
  { style, wide, withNamespace, now }: Rendering,
  coresOf: (row: Row) => number | undefined,
) {
  const columns: (Column | undefined)[] = [
    withNamespace
      ? { name: 'namespace', expendable: 0, cell: ({ metadata }) => metadata.namespace }
      : undefined,
    { name: 'name', expendable: 0, cell: ({ metadata }) => metadata.name },
    wide ? { name: 'runner', expendable: 3, cell: ({ runner }) => runner } : undefined,
    {
      name: 'cpu',
      expendable: 0,
      cell: row => {
        const { cores } = row.usage.cpu
        const text = `${bar(cores / (coresOf(row) ?? 1), BAR)} ${cores.toFixed(2)}`
        return { text, paint: row.usage.isFrozen ? style.dim : style.green }
      },
    },
    { name: 'session', expendable: 2, cell: ({ usage }) => usage.cpu.sessionCores.toFixed(2) },
    {
      name: 'throttled',
      expendable: 4,
      cell: ({ usage }) => warned(usage.cpu.throttled, 0.1, style),
    },
    { name: 'pressure', expendable: 5, cell: ({ usage }) => warned(usage.cpu.pressure, 0.5, style) },
    {
      name: 'memory',
      expendable: 1,
      cell: ({ usage: { memory } }) => ({
        text:
          compact(memory.bytes) +
          (memory.limitBytes === undefined ? '' : ` of ${compact(memory.limitBytes)}`),
        paint: memory.bytes > 0.9 * (memory.limitBytes ?? Infinity) ? style.yellow : plain,
      }),
    },
    { name: 'swap', expendable: 7, cell: ({ usage }) => optional(usage.memory.swapBytes) },
    {
      name: 'io r/w',
      expendable: 6,
      cell: ({ usage: { io } }) =>
        io === undefined ? '' : `${compact(io.readBytesPerSecond)} ${compact(io.writtenBytesPerSecond)}`,
    },
    {
      name: 'network in/out',
      expendable: 8,
      cell: ({ usage: { network } }) =>
        network === undefined
          ? ''
          : `${compact(network.receivedBytesPerSecond)} ${compact(network.sentBytesPerSecond)}`,
    },
    wide ? { name: 'processes', expendable: 9, cell: ({ usage }) => String(usage.processes) } : undefined,
    wide
      ? { name: 'mem pressure', expendable: 9, cell: ({ usage }) => percent(usage.memory.pressure) }
      : undefined,
    wide
      ? { name: 'io pressure', expendable: 9, cell: ({ usage }) => percent(usage.io?.pressure) }
      : undefined,
    { name: 'governor', expendable: 3, cell: row => lastAct(row, now) },
  ]
  return columns.filter(each => each !== undefined)
}

/** What no kernel here measures is no column. */
function isKnown({ expendable, cell }: Column, rows: readonly Row[]): boolean {
  return expendable < 4 || rows.length === 0 || rows.some(row => textOf(cell(row)) !== '')
}

const textOf = (cell: Cell | string): string => oneLine(typeof cell === 'string' ? cell : cell.text)
const plain = (text: string): string => text
const optional = (bytes: number | undefined): string => (bytes === undefined ? '' : compact(bytes))

function warned(share: number | undefined, limit: number, style: Style): Cell {
  return { text: percent(share), paint: (share ?? 0) > limit ? style.yellow : plain }
}

/** `cpu 3s ago: weight 100, work at most 0.67 cores (uses more than its share)`; what holds up all others first. */
function lastAct({ usage }: Row, now: Millis): string {
  const { governor, isFrozen, processesRefused } = usage
  const states = [
    ...(isFrozen && governor?.act !== 'frozen' ? ['frozen'] : []),
    ...(processesRefused === undefined ? [] : [`${processesRefused} processes refused`]),
  ]
  if (governor !== undefined) {
    const { name, act, why, at } = governor
    states.push(`${name} ${formatAge(Math.max(0, now - Date.parse(at)))} ago: ${act} (${why})`)
  }
  return states.join('; ')
}

/** The last column takes what is left; when that is too little for it, others go. */
function columnsThatFit(
  columns: readonly Column[],
  rows: readonly Row[],
  room: number | undefined,
): Column[] {
  const kept = [...columns]
  if (room === undefined) return kept
  const widthOf = ({ name, cell }: Column) =>
    Math.max(name.length, ...rows.map(row => [...textOf(cell(row))].length)) + GAP
  const widths = new Map(kept.map(each => [each, widthOf(each)]))
  const least = (column: Column) =>
    column.name === 'governor' ? Math.min(24, widths.get(column) ?? 0) : (widths.get(column) ?? 0)
  const total = () => kept.reduce((sum, each) => sum + least(each), -GAP)
  while (total() > room && kept.some(each => each.expendable > 0)) {
    const worst = kept.reduce((a, b) => (b.expendable >= a.expendable ? b : a))
    kept.splice(kept.indexOf(worst), 1)
  }
  const last = kept.at(-1)
  if (last?.name !== 'governor') return kept
  const left = room - (total() + GAP - least(last))
  const cut = (row: Row): string => {
    const text = [...textOf(last.cell(row))]
    return text.length > left ? `${text.slice(0, Math.max(0, left - 1)).join('')}…` : text.join('')
  }
  return [...kept.slice(0, -1), { ...last, cell: cut }]
}

function hostLines(runners: readonly RunnerUsageObject[], rendering: Rendering): string {
  if (runners.length === 0) return ''
  const lines = runners.length > HOSTS ? [allHosts(runners)] : runners.map(each => hostLine(each, rendering))
  const { columns } = rendering
  const cut = (line: string) =>
    columns === undefined || [...line].length <= columns
      ? line
      : `${[...line].slice(0, Math.max(0, columns - 1)).join('')}…`
  return `${lines.map(line => `${rendering.style.bold(cut(oneLine(line)))}\n`).join('')}\n`
}

function hostLine({ metadata, usage, timestamp }: RunnerUsageObject, { now }: Rendering): string {
  const { cores, busyCores, memory, pressure } = usage
  const ageMs = now - Date.parse(timestamp)
  const pressures = (['cpu', 'memory', 'io'] as const)
    .filter(each => pressure[each] !== undefined)
    .map(each => `${each} ${percent(pressure[each])}`)
  return [
    `${metadata.name}: ${busyCores.toFixed(2)} of ${cores} cores ${bar(busyCores / cores, BAR).trimEnd()}`,
    `memory ${compact(memory.totalBytes - memory.availableBytes)} of ${compact(memory.totalBytes)}`,
    ...(memory.swapTotalBytes === 0
      ? []
      : [
          `swap ${compact(memory.swapTotalBytes - memory.swapFreeBytes)} of ${compact(memory.swapTotalBytes)}`,
        ]),
    ...(pressures.length === 0 ? [] : [`pressure: ${pressures.join(' ')}`]),
    ...(ageMs > FRESH_MS ? [`${formatAge(ageMs)} ago`] : []),
  ].join('   ')
}

function allHosts(runners: readonly RunnerUsageObject[]): string {
  const sum = (of: (usage: RunnerUsageObject['usage']) => number) =>
    runners.reduce((total, each) => total + of(each.usage), 0)
  const used = sum(({ memory }) => memory.totalBytes - memory.availableBytes)
  return `${runners.length} runners: ${sum(each => each.busyCores).toFixed(1)} of ${sum(each => each.cores)} cores   memory ${compact(used)} of ${compact(sum(each => each.memory.totalBytes))}`
}
