import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { plot } from '../plot.ts'
import type { Samples } from '../stats.ts'
import { KEY, RESULTS, WORK } from './contest.ts'

const PICTURES = [
  { what: KEY, file: 'key', title: 'A key press, until it shows' },
  { what: WORK, file: 'work', title: '20 ms of work, from asking to done' },
]

/** Two pictures, `BENCH-key.svg` and `BENCH-work.svg`, of what `measure` has sampled; rows of one situation together. */
export async function drawPictures(bench: string, samples: Samples, subtitle: string): Promise<void> {
  await mkdir(RESULTS, { recursive: true })
  for (const { what, file, title } of PICTURES) {
    const rows = samples
      .names()
      .map(name => ({ name, parts: name.split(', ') }))
      .filter(({ parts }) => parts[0] === what)
      .map(({ name, parts: [, series = '', situation = ''] }) => ({ name, series, situation }))
      .sort((a, b) => order(a.situation).localeCompare(order(b.situation), 'en', { numeric: true }))
    const path = join(RESULTS, `${bench}-${file}.svg`)
    const drawn = rows.map(({ name, series, situation }) => ({
      label: `${situation}: ${series}`,
      series,
      values: samples.of(name),
    }))
    await writeFile(path, plot({ title, subtitle, unit: 'milliseconds', rows: drawn }))
    process.stderr.write(`wrote ${path}\n`)
  }
}

/** What all is compared with comes first. */
const order = (situation: string): string => (situation === 'idle' ? '' : situation)
