import type { EnvironmentClassSpec } from '../../api/kinds/environment-class.ts'
import { parseBytes } from '../../api/quantity.ts'
import type { Resource } from '../../api/resource.ts'
import type { SandboxId } from '../../core/driver.ts'
import type { EnvironmentTerms } from '../../core/governor/governor.ts'
import type { Millis } from '../../lib/clock.ts'
import type { Seen } from './activity.ts'

/** Of environments whose class is gone: what it said last is not known here, and nobody is held for that. */
const UNKNOWN_CLASS = { memory: '4Gi' } as const satisfies Partial<EnvironmentClassSpec>

export interface Known {
  readonly environments: readonly Resource<'Environment'>[]
  readonly classes: readonly Resource<'EnvironmentClass'>[]
  readonly seen: (id: SandboxId) => Seen
  /** What to add to a time of `seen` to have one of the samples' clock. */
  readonly offsetMs: Millis
}

/** What governors must know of the environments of this runner, from what it knows of the API and of its entrances. */
export function termsOf({
  environments,
  classes,
  seen,
  offsetMs,
}: Known): ReadonlyMap<SandboxId, EnvironmentTerms> {
  const byName = new Map(classes.map(each => [`${each.metadata.namespace}/${each.metadata.name}`, each.spec]))
  return new Map(
    environments.map(({ metadata, spec }) => {
      const { uid: id, name, namespace } = metadata
      const classSpec = byName.get(`${namespace}/${spec.class}`) ?? UNKNOWN_CLASS
      const { heardMs, connections } = seen(id)
      return [
        id,
        {
          ...{ id, name, connections },
          ...ofClass(classSpec),
          ...(heardMs === undefined ? {} : { heardMs: heardMs + offsetMs }),
        },
      ]
    }),
  )
}

function ofClass(
  spec: Pick<EnvironmentClassSpec, 'memory'>,
): Omit<EnvironmentTerms, 'id' | 'name' | 'heardMs' | 'connections'> {
  const memoryBytes = parseBytes(spec.memory)
  return { cpuWeight: 100, memoryBytes, guaranteedBytes: 0 }
}
