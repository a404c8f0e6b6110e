/** What stands between an environment and its host; the stronger, the more it costs. */
export const ISOLATIONS = ['userns', 'gvisor'] as const
export type Isolation = (typeof ISOLATIONS)[number]

/** What every runner can do, also one that does not say what it can. */
export const DEFAULT_ISOLATION: Isolation = 'userns'
