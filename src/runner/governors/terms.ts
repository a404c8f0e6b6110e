import {
  cpuTerms,
  type EnvironmentClassSpec,
  guaranteedBytes,
  ioTerms,
  suspendAfterMs,
} from '../../api/kinds/environment-class.ts'
import { parseBytes } from '../../api/quantity.ts'
import type { Resource } from '../../api/resource.ts'
import type { SandboxId } from '../../core/driver.ts'
import type { EnvironmentTerms } from '../../core/governor/governor.ts'
import type { Millis } from '../../lib/clock.ts'
import type { Seen } from './activity.ts'

type Spec = Pick<EnvironmentClassSpec, 'cpu' | 'io' | 'memory' | 'memoryGuarantee' | 'suspendAfter'>

/** Of environments whose class is gone, or not known yet: what it said last is not known here, so nobody is held. */
const UNKNOWN_CLASS: Spec = { memory: '4Gi', suspendAfter: '0' }

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
  // Four times a second for all of them: each class is parsed once.
  const byClass = new Map(
    classes.map(({ metadata, spec }) => [`${metadata.namespace}/${metadata.name}`, ofClass(spec)]),
  )
  const unknown = ofClass(UNKNOWN_CLASS)
  return new Map(
    environments.map(({ metadata, spec }) => {
      const { uid: id, name, namespace } = metadata
      const { heardMs, typedMs, connections, terminals } = seen(id)
      return [
        id,
        {
          ...{ id, name, connections, terminals },
          ...(byClass.get(`${namespace}/${spec.class}`) ?? unknown),
          ...(heardMs === undefined ? {} : { heardMs: heardMs + offsetMs }),
          ...(typedMs === undefined ? {} : { typedMs: typedMs + offsetMs }),
        },
      ]
    }),
  )
}

function ofClass(spec: Spec): Omit<EnvironmentTerms, 'id' | 'name' | keyof Seen> {
  const suspendMs = suspendAfterMs(spec)
  return {
    ...cpuTerms(spec),
    ...ioTerms(spec),
    memoryBytes: parseBytes(spec.memory),
    guaranteedBytes: guaranteedBytes(spec),
    ...(suspendMs === undefined ? {} : { suspendAfterMs: suspendMs }),
  }
}
