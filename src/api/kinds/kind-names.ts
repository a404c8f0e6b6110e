// How kinds are called, apart from what they are made of: paths and the words of a command line need only this, and
// need it without the schemas, which take longer to load (28 ms) than most commands take to run.

export interface KindNames {
  /** API group and version that the kind is served under by its own name. */
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly namespaced: boolean
}

/** The group of Bothy's own kinds. */
export const GROUP = 'bothy.dev'
export const VERSION = 'v1alpha1'

const own = { group: GROUP, version: VERSION } as const

export const KIND_NAMES = {
  Environment: {
    ...own,
    kind: 'Environment',
    plural: 'environments',
    singular: 'environment',
    shortNames: ['env', 'envs'],
    namespaced: true,
  },
  EnvironmentClass: {
    ...own,
    kind: 'EnvironmentClass',
    plural: 'environmentclasses',
    singular: 'environmentclass',
    shortNames: ['class', 'classes', 'envclass'],
    namespaced: true,
  },
  Snapshot: {
    ...own,
    kind: 'Snapshot',
    plural: 'snapshots',
    singular: 'snapshot',
    shortNames: ['snap', 'snaps'],
    namespaced: true,
  },
  Runner: {
    ...own,
    kind: 'Runner',
    plural: 'runners',
    singular: 'runner',
    shortNames: [],
    namespaced: true,
  },
  Organization: {
    ...own,
    kind: 'Organization',
    plural: 'organizations',
    singular: 'organization',
    shortNames: ['org', 'orgs'],
    namespaced: false,
  },
  // Under Kubernetes' own name, so that its clients find it where they look.
  Event: {
    group: 'events.k8s.io',
    version: 'v1',
    kind: 'Event',
    plural: 'events',
    singular: 'event',
    shortNames: ['ev'],
    namespaced: true,
  },
} as const satisfies Readonly<Record<string, KindNames>>

/** Of the kind, without the compiler's knowledge of which one it is. */
export function namesOf(kind: keyof typeof KIND_NAMES): KindNames {
  return KIND_NAMES[kind]
}

/** `bothy.dev/v1alpha1`; for the core group, which has no name, `v1`. */
export function apiVersionOf({ group, version }: Pick<KindNames, 'group' | 'version'>): string {
  return group === '' ? version : `${group}/${version}`
}

/** `environments.bothy.dev`: how messages call a resource; `namespaces` for one of the core group. */
export function qualifiedName({ plural, group }: Pick<KindNames, 'plural' | 'group'>): string {
  return group === '' ? plural : `${plural}.${group}`
}

/** Finds a kind by the word people use: kind, plural, singular or short name, in any case. */
export function findKind(word: string): keyof typeof KIND_NAMES | undefined {
  const wanted = word.toLowerCase()
  return (Object.keys(KIND_NAMES) as (keyof typeof KIND_NAMES)[]).find(name => {
    const { kind, plural, singular, shortNames } = namesOf(name)
    return [kind.toLowerCase(), plural, singular, ...shortNames].includes(wanted)
  })
}
