// A plain picture of distributions: one row each, p50, p99 and the longest on a logarithmic scale.
import { quantile } from './stats.ts'

export interface Row {
  readonly label: string
  readonly values: readonly number[]
  /** Rows of one colour belong together. */
  readonly series: string
}

export interface Plot {
  readonly title: string
  readonly subtitle: string
  readonly unit: string
  readonly rows: readonly Row[]
}

const WIDTH = 960
const LEFT = 330
const RIGHT = 40
const TOP = 96
const ROW = 26
// Told apart by people who see colours otherwise as well (Okabe and Ito), readable on white and on black.
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9']

/** SVG, readable on light and dark pages. Rows without values are left out. */
export function plot({ title, subtitle, unit, rows }: Plot): string {
  const shown = rows.filter(({ values }) => values.length > 0)
  const all = shown.flatMap(({ values }) => values.filter(value => value > 0))
  const low = Math.floor(Math.log10(quantile(all, 0.01)) * 2) / 2
  const high = Math.ceil(Math.log10(Math.max(...all)) * 2) / 2
  const x = (value: number): number =>
    LEFT +
    ((WIDTH - LEFT - RIGHT) * (Math.log10(Math.max(value, 10 ** low)) - low)) / Math.max(high - low, 0.5)
  const bottom = TOP + shown.length * ROW
  const series = [...new Set(shown.map(row => row.series))]
  const parts = ticks(low, high).map(
    value =>
      `<line class="grid" x1="${at(x(value))}" x2="${at(x(value))}" y1="${TOP - 8}" y2="${bottom}"/>` +
      `<text class="soft" x="${at(x(value))}" y="${bottom + 18}" text-anchor="middle">${value}</text>`,
  )
  shown.forEach(({ label, values, series: name }, index) => {
    const y = TOP + index * ROW + ROW / 2
    const colour = COLOURS[series.indexOf(name) % COLOURS.length]
    const [p50, p99, most] = [quantile(values, 0.5), quantile(values, 0.99), Math.max(...values)]
    parts.push(
      `<text x="${LEFT - 12}" y="${y + 4}" text-anchor="end">${escape(label)}</text>`,
      `<line x1="${at(x(p50))}" x2="${at(x(p99))}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="6" stroke-linecap="round"/>`,
      `<line x1="${at(x(p99))}" x2="${at(x(most))}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="1.5"/>`,
      `<circle cx="${at(x(p50))}" cy="${y}" r="6" fill="${colour}"/>`,
      `<path d="M${at(x(most))} ${y - 5}v10" stroke="${colour}" stroke-width="2"/>`,
      `<text class="soft" x="${at(x(p99))}" y="${y - 7}" text-anchor="middle">${short(p99)}</text>`,
    )
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + 44}" role="img" aria-label="${escape(title)}">`,
    '<style>text{font:13px system-ui,sans-serif;fill:#24292f}.soft{fill:#57606a;font-size:11px}.grid{stroke:#8c959f;stroke-opacity:.35}',
    '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.soft{fill:#9198a1}}</style>',
    `<text x="16" y="28" style="font-size:17px;font-weight:600">${escape(title)}</text>`,
    `<text class="soft" x="16" y="48">${escape(subtitle)}</text>`,
    `<text class="soft" x="16" y="66">dot: median; thick end and number: p99; thin end: the longest; ${escape(unit)}, logarithmic</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

const at = (value: number): string => value.toFixed(1)
const short = (value: number): string => (value < 10 ? value.toFixed(1) : String(Math.round(value)))
const escape = (text: string): string => text.replace(/[&<>"]/g, each => `&#${each.charCodeAt(0)};`)

/** 1, 3, 10, 30, … within the scale. */
function ticks(low: number, high: number): number[] {
  const found: number[] = []
  for (let power = Math.floor(low); power <= high; power++)
    for (const factor of [1, 3]) {
      const value = Number((factor * 10 ** power).toPrecision(1))
      if (Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9) found.push(value)
    }
  return found
}
