/** One who competes for something that can be divided. */
export interface Claim {
  /** Twice the weight is twice the share of those who get less than they want. */
  readonly weight: number
  /** Infinity: whatever there is. */
  readonly wants: number
}

export interface Shares {
  /** Of each claim, in order: none more than it wants, together all there is unless all have what they want. */
  readonly given: readonly number[]
  /** What each unit of weight gets, of those who want more; Infinity when nobody does. */
  readonly level: number
  /** Of all who want more than they get. */
  readonly hungryWeight: number
}

/**
 * Weighted max-min fairness ("water filling"): who wants less than its part gets what it wants, and what it leaves is
 * divided among the others by weight.
 */
export function divide(total: number, claims: readonly Claim[]): Shares {
  const order = claims.map((_, at) => at).sort((a, b) => ratio(claims[a]) - ratio(claims[b]))
  const given = claims.map(() => 0)
  let left = Math.max(0, total)
  let weight = claims.reduce((sum, each) => sum + each.weight, 0)
  for (const [position, at] of order.entries()) {
    const claim = claims[at] as Claim
    const level = left / weight
    if (ratio(claim) > level) {
      // From here on nobody gets what it wants.
      for (const each of order.slice(position)) given[each] = (claims[each] as Claim).weight * level
      return { given, level, hungryWeight: weight }
    }
    given[at] = claim.wants
    left -= claim.wants
    weight -= claim.weight
  }
  return { given, level: Number.POSITIVE_INFINITY, hungryWeight: 0 }
}

const ratio = (claim: Claim | undefined): number => (claim === undefined ? 0 : claim.wants / claim.weight)
