// Which objects a command line names: `KIND`, `KIND NAME…`, `KIND/NAME…`.
import { DNS_SUBDOMAIN, isDnsLabel } from '../api/dns-label.ts'
import { findKind, KIND_NAMES, namesOf } from '../api/kinds/kind-names.ts'
import type { Key, Kind } from '../api/resource.ts'
import { Fault } from '../lib/fault.ts'
import { nearest } from './nearest.ts'

/** `names` is empty when all objects of the kind are meant. */
export interface Target {
  readonly kind: Kind
  readonly names: readonly string[]
}

/** Faults with `invalid` for unknown kinds, names that cannot be, and mixed forms. */
export function parseTargets(words: readonly string[]): Target[] {
  const [first = '', ...rest] = words
  if (!first.includes('/')) {
    const kind = parseKind(first)
    return [{ kind, names: rest.map(name => parseName(name, kind)) }]
  }
  return words.map(word => {
    const [kindWord = '', name = '', ...more] = word.split('/')
    if (name === '' || more.length > 0) {
      throw new Fault('invalid', 'target-invalid', `'${word}' does not name an object`, {
        hint: 'write KIND/NAME',
      })
    }
    const kind = parseKind(kindWord)
    return { kind, names: [parseName(name, kind)] }
  })
}

// What Kubernetes calls the same.
const SYNONYMS: Readonly<Record<string, Kind>> = {
  namespace: 'Organization',
  namespaces: 'Organization',
  ns: 'Organization',
}

/** `environment`, `envs`, `Environment`, `environment.bothy.dev`: whatever people and kubectl write. */
export function parseKind(word: string): Kind {
  const [bare = '', ...group] = word.split('.')
  const kind = SYNONYMS[bare.toLowerCase()] ?? findKind(bare)
  if (kind !== undefined && (group.length === 0 || group.join('.') === namesOf(kind).group)) return kind
  const words = Object.values(KIND_NAMES).flatMap(({ plural, singular, shortNames }) => [
    plural,
    singular,
    ...shortNames,
  ])
  const meant = nearest(bare.toLowerCase(), words)
  const known = Object.values(KIND_NAMES).map(({ plural }) => plural)
  const hint = meant === undefined ? `there are ${known.join(', ')}` : `did you mean '${meant}'?`
  throw new Fault('invalid', 'kind-unknown', `there is no kind '${word}'`, { hint })
}

/** The environment that a word names: its name, or `environment/NAME` in any spelling. */
export function parseEnvironment(word: string, namespace: string): Key<'Environment'> {
  const [target] = word.includes('/')
    ? parseTargets([word])
    : [{ kind: 'Environment', names: [parseName(word, 'Environment')] }]
  if (target?.kind !== 'Environment') {
    throw new Fault('invalid', 'target-not-environment', `'${word}' is no environment`, {
      hint: 'give its name',
    })
  }
  return { kind: 'Environment', namespace, name: target.names[0]! }
}

function parseName(word: string, kind: Kind): string {
  if (isDnsLabel(word) || (kind === 'Event' && word.length <= 253 && DNS_SUBDOMAIN.test(word))) return word
  throw new Fault('invalid', 'name-invalid', `'${word}' cannot be a name`, {
    hint: "names have at most 63 lower-case letters, digits and '-', and begin and end with a letter or digit",
  })
}

/** The key of an object: in `namespace` when the kind has namespaces at all. */
export function keyIn<K extends Kind>(kind: K, name: string, namespace: string): Key<K> {
  return { kind, name, namespace: namesOf(kind).namespaced ? namespace : '' }
}
