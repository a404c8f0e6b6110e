// Prometheus' text format, strictly: whatever a scraper would refuse is an error with its line.
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: readonly Sample[]
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: (-?\d+))?$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)/y
const VALUE = /^(?:[+-]?Inf|NaN|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)$/
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
}

export function parseExposition(text: string): ReadonlyMap<string, Family> {
  const families = new Map<string, { name: string; type: string; help: string; samples: Sample[] }>()
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  let current = ''
  const seen = new Set<string>()
  for (const [index, line] of text.slice(0, -1).split('\n').entries()) {
    const refuse = (why: string) => new Error(`line ${index + 1}: ${why}: ${line}`)
    if (line === '') continue
    if (line.startsWith('#')) {
      const [, word, name = '', ...rest] = line.split(' ')
      if (!NAME.test(name)) throw refuse('no name')
      const family = families.get(name) ?? { name, type: '', help: '', samples: [] }
      if (family.samples.length > 0) throw refuse('described after its samples')
      if (word === 'TYPE') {
        if (family.type !== '' || !(rest.join(' ') in SUFFIXES)) throw refuse('type')
        family.type = rest.join(' ')
      } else if (word === 'HELP') {
        if (family.help !== '') throw refuse('helped twice')
        family.help = rest.join(' ')
      } else throw refuse('no such comment')
      families.set(name, family)
      current = name
      continue
    }
    const [, name = '', inner = '', value = ''] = LINE.exec(line) ?? []
    const family = families.get(current)
    if (family === undefined || !SUFFIXES[family.type]?.some(each => name === current + each))
      throw refuse(`not of ${current}`)
    if (!VALUE.test(value)) throw refuse('no number')
    const labels: Record<string, string> = {}
    LABEL.lastIndex = 0
    while (LABEL.lastIndex < inner.length) {
      const [, label, said] = LABEL.exec(inner) ?? []
      if (label === undefined || said === undefined || label in labels) throw refuse('labels')
      labels[label] = said
    }
    const series = name + seriesOf(labels)
    if (seen.has(series)) throw refuse('said twice')
    seen.add(series)
    family.samples.push({ name, labels, value: Number(value.replace('Inf', 'Infinity')) })
  }
  for (const family of families.values()) checkFamily(family)
  return families
}

/** The same for the same labels, in whatever order. */
function seriesOf(labels: Readonly<Record<string, string>>): string {
  const names = Object.keys(labels).toSorted((a, b) => (a < b ? -1 : 1))
  return JSON.stringify(names.map(name => [name, labels[name]]))
}

function checkFamily({ name, type, help, samples }: Family): void {
  if (type === '' || help === '') throw new Error(`${name}: TYPE and HELP are missing`)
  if (type === 'counter' && samples.some(each => !(each.value >= 0))) throw new Error(`${name}: negative`)
  if (type !== 'histogram') return
  const buckets = new Map<string, Sample[]>()
  for (const each of samples.filter(({ name: full }) => full.endsWith('_bucket'))) {
    const { le, ...rest } = each.labels
    if (le === undefined) throw new Error(`${name}: a bucket without bound`)
    const key = seriesOf(rest)
    buckets.set(key, [...(buckets.get(key) ?? []), each])
  }
  for (const list of buckets.values()) {
    const counts = list.map(each => each.value)
    if (counts.some((each, at) => each < (counts[at - 1] ?? 0))) throw new Error(`${name}: not cumulative`)
    if (list.at(-1)?.labels['le'] !== '+Inf') throw new Error(`${name}: no +Inf`)
  }
}
