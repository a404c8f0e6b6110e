import type { EnvironmentUsageObject } from '../../api/usage.ts'

/** What the table can be sorted by. */
export const SORTS = ['cpu', 'memory', 'io', 'network', 'name'] as const
export type Sort = (typeof SORTS)[number]

/** The key on the keyboard that sorts by it. */
export const SORT_KEYS: Readonly<Record<string, Sort>> = {
  c: 'cpu',
  m: 'memory',
  i: 'io',
  n: 'network',
  a: 'name',
}

const MEASURES: Readonly<Record<Exclude<Sort, 'name'>, (usage: EnvironmentUsageObject['usage']) => number>> =
  {
    cpu: ({ cpu }) => cpu.cores,
    memory: ({ memory }) => memory.bytes + (memory.swapBytes ?? 0),
    io: ({ io }) => (io === undefined ? 0 : io.readBytesPerSecond + io.writtenBytesPerSecond),
    network: ({ network }) =>
      network === undefined ? 0 : network.receivedBytesPerSecond + network.sentBytesPerSecond,
  }

/** The largest first; what is equal, in the order of names, so that nothing jumps about. */
export function sortUsage(items: readonly EnvironmentUsageObject[], by: Sort): EnvironmentUsageObject[] {
  const nameOf = ({ metadata }: EnvironmentUsageObject) => `${metadata.namespace}/${metadata.name}`
  const measure = by === 'name' ? () => 0 : MEASURES[by]
  return items.toSorted((a, b) => measure(b.usage) - measure(a.usage) || (nameOf(a) < nameOf(b) ? -1 : 1))
}
