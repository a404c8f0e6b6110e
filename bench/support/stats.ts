/** Quantile by nearest rank of a list that need not be sorted; NaN when it is empty. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Samples by name, in milliseconds, in the order in which the names first came. */
export class Samples {
  readonly #byName = new Map<string, number[]>()

  add(name: string, ms: number): void {
    const list = this.#byName.get(name)
    if (list === undefined) this.#byName.set(name, [ms])
    else list.push(ms)
  }

  of(name: string): readonly number[] {
    return this.#byName.get(name) ?? []
  }

  median(name: string): number {
    return median(this.of(name))
  }

  names(): readonly string[] {
    return [...this.#byName.keys()]
  }
}
