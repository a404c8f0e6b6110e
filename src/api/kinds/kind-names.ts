// How kinds are called, apart from what they are made of: paths and the words of a command line need only this, and
// need it without the schemas, which take longer to load (28 ms) than most commands take to run.

export interface KindNames {
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly namespaced: boolean
}

export const KIND_NAMES = {
  Environment: {
    kind: 'Environment',
    plural: 'environments',
    singular: 'environment',
    shortNames: ['env', 'envs'],
    namespaced: true,
  },
  EnvironmentClass: {
    kind: 'EnvironmentClass',
    plural: 'environmentclasses',
    singular: 'environmentclass',
    shortNames: ['class', 'envclass'],
    namespaced: true,
  },
  Runner: { kind: 'Runner', plural: 'runners', singular: 'runner', shortNames: [], namespaced: true },
} as const satisfies Readonly<Record<string, KindNames>>

/** Of the kind, without the compiler's knowledge of which one it is. */
export function namesOf(kind: keyof typeof KIND_NAMES): KindNames {
  return KIND_NAMES[kind]
}

/** Finds a kind by the word people use: kind, plural, singular or short name, in any case. */
export function findKind(word: string): keyof typeof KIND_NAMES | undefined {
  const wanted = word.toLowerCase()
  return (Object.keys(KIND_NAMES) as (keyof typeof KIND_NAMES)[]).find(name => {
    const { kind, plural, singular, shortNames } = namesOf(name)
    return [kind.toLowerCase(), plural, singular, ...shortNames].includes(wanted)
  })
}
