const STEP_MS = 0.1
const STEPS = 100_000

/** Times up to 10 s, to a tenth of a millisecond; millions of them cost nothing. Longer ones count as 10 s. */
export class Histogram {
  readonly counts: Uint32Array

  constructor(counts = new Uint32Array(STEPS + 1)) {
    this.counts = counts
  }

  add(ms: number): void {
    const at = Math.min(STEPS, Math.max(0, Math.round(ms / STEP_MS)))
    this.counts[at] = (this.counts[at] ?? 0) + 1
  }

  get total(): number {
    return this.counts.reduce((sum, each) => sum + each, 0)
  }

  /** By nearest rank; NaN when it is empty. */
  quantile(q: number): number {
    const rank = Math.max(1, Math.ceil(q * this.total))
    let seen = 0
    for (const [at, count] of this.counts.entries()) {
      seen += count
      if (seen >= rank) return at * STEP_MS
    }
    return Number.NaN
  }
}
