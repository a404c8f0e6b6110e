// What a process measures of itself and its work, in Prometheus' text format. Definitions are data, so that documents are
// written from the same ones; a name that is not defined is a type error.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels?: readonly string[]
  /** Upper bounds of a histogram, in its unit. */
  readonly buckets?: readonly number[]
}

export type Labels = Readonly<Record<string, string>>

export interface Metrics<Name extends string> {
  /** Of a gauge, or of a counter that somebody else counts: what it is now. */
  set(name: Name, value: number, labels?: Labels): void
  /** To a counter, or to a gauge; `by` may be negative for a gauge. */
  add(name: Name, by: number, labels?: Labels): void
  /** Into a histogram. */
  observe(name: Name, value: number, labels?: Labels): void
  /** Forgets all that is known under these names: what is not said again is not there any more. */
  clear(...names: readonly Name[]): void
  /** Called before each reading, for what is looked up only then. What it throws is the reading's error. */
  onRead(collect: () => void | Promise<void>): void
  /** All of it, as text. */
  read(): Promise<{ readonly type: string; readonly text: string }>
}

/** `withProcess`: also what Node knows of itself (process_*, nodejs_*). */
export function createMetrics<Name extends string>(
  definitions: Readonly<Record<Name, MetricDefinition>>,
  { withProcess = true }: { readonly withProcess?: boolean } = {},
): Metrics<Name> {
  const registry = new Registry()
  if (withProcess) collectDefaultMetrics({ register: registry })
  const known = new Map<string, Counter | Gauge | Histogram>()
  for (const [name, definition] of Object.entries<MetricDefinition>(definitions)) {
    const { type, help, labels = [], buckets } = definition
    const common = { name, help, labelNames: [...labels], registers: [registry] }
    if (type === 'counter') known.set(name, new Counter(common))
    else if (type === 'gauge') known.set(name, new Gauge(common))
    else known.set(name, new Histogram({ ...common, ...(buckets && { buckets: [...buckets] }) }))
  }
  const collects: (() => void | Promise<void>)[] = []
  return {
    set(name, value, labels = {}) {
      const metric = known.get(name)
      if (metric instanceof Gauge) metric.set(labels, value)
      else if (metric instanceof Counter) {
        metric.remove(labels)
        metric.inc(labels, Math.max(0, value))
      }
    },
    add(name, by, labels = {}) {
      const metric = known.get(name)
      if (metric instanceof Gauge || metric instanceof Counter) metric.inc(labels, by)
    },
    observe(name, value, labels = {}) {
      const metric = known.get(name)
      if (metric instanceof Histogram) metric.observe(labels, value)
    },
    clear(...names) {
      for (const name of names) known.get(name)?.reset()
    },
    onRead: collect => void collects.push(collect),
    async read() {
      for (const collect of collects) await collect()
      // The format has it as NaN; prom-client 15 writes it its own way.
      const text = (await registry.metrics()).replace(/ Nan$/gm, ' NaN')
      return { type: registry.contentType, text }
    },
  }
}
