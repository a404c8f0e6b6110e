import { type EnvironmentSpec, type EnvironmentStatus, environment } from './environment.ts'
import {
  type EnvironmentClassSpec,
  type EnvironmentClassStatus,
  environmentClass,
} from './environment-class.ts'
import type { KindDefinition } from './kind.ts'
import { type RunnerSpec, type RunnerStatus, runner } from './runner.ts'

/** Every kind. A new kind is one file beside this one and a line in each of the two lists. */
export interface Kinds {
  Environment: { spec: EnvironmentSpec; status: EnvironmentStatus }
  EnvironmentClass: { spec: EnvironmentClassSpec; status: EnvironmentClassStatus }
  Runner: { spec: RunnerSpec; status: RunnerStatus }
}

export const KINDS: { readonly [K in keyof Kinds]: KindDefinition<Kinds[K]['spec'], Kinds[K]['status']> } = {
  Environment: environment,
  EnvironmentClass: environmentClass,
  Runner: runner,
}

/** Finds a kind by the word people use: kind, plural, singular or short name, in any case. */
export function findKind(word: string): keyof Kinds | undefined {
  const wanted = word.toLowerCase()
  return (Object.keys(KINDS) as (keyof Kinds)[]).find(name => {
    const { kind, plural, singular, shortNames } = KINDS[name]
    return [kind.toLowerCase(), plural, singular, ...shortNames].includes(wanted)
  })
}
