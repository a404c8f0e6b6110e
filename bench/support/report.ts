import { cpus, release } from 'node:os'
import { quantile, type Samples } from './stats.ts'

export interface Aim {
  /** Name of a ratio, and what it should not be above (`most`) or below (`least`). */
  readonly ratio: string
  readonly most?: number
  readonly least?: number
}

/** A table for people, then, as the last line, one JSON object for programs. */
export function report(
  bench: string,
  samples: Samples,
  ratios: Readonly<Record<string, number>>,
  aims: readonly Aim[],
): void {
  const print = (line = '') => void process.stdout.write(`${line}\n`)
  print(
    `\n${bench}: milliseconds; ${cpus().length} cores (${cpus()[0]?.model.trim()}), Linux ${release()}, Node ${process.version}`,
  )
  print(
    `${'what'.padEnd(46)} ${['n', 'min', 'median', 'p95', 'p99'].map(each => each.padStart(8)).join(' ')}`,
  )
  for (const name of samples.names()) {
    const values = samples.of(name)
    const cells = [0, 0.5, 0.95, 0.99].map(q => quantile(values, q)).map(each => each.toFixed(1))
    print(`${name.padEnd(46)} ${[String(values.length), ...cells].map(each => each.padStart(8)).join(' ')}`)
  }
  print()
  const met = aims.map(aim => {
    const value = ratios[aim.ratio] ?? Number.NaN
    const ok =
      (aim.most === undefined || value <= aim.most) && (aim.least === undefined || value >= aim.least)
    const wanted = aim.most === undefined ? `at least ${aim.least}` : `at most ${aim.most}`
    print(`${ok ? 'met   ' : 'MISSED'} ${aim.ratio}: ${value.toFixed(2)} (aim: ${wanted})`)
    return ok
  })
  for (const [name, value] of Object.entries(ratios)) {
    if (!aims.some(aim => aim.ratio === name)) print(`       ${name}: ${value.toFixed(2)}`)
  }
  const metrics = Object.fromEntries(samples.names().map(name => [name, round(samples.median(name))]))
  const json = {
    bench,
    metrics,
    ratios: Object.fromEntries(Object.entries(ratios).map(([name, value]) => [name, round(value)])),
    aims: Object.fromEntries(aims.map(({ ratio, ...rest }) => [ratio, rest])),
    met: met.every(Boolean),
  }
  print(JSON.stringify(json))
}

const round = (value: number): number => Math.round(value * 100) / 100
