// What environments are promised by the runners that they are bound to.
import { guaranteedBytes } from '../../api/kinds/environment-class.ts'
import type { RunnerStatus } from '../../api/kinds/runner.ts'
import { parseBytes } from '../../api/quantity.ts'
import type { Resource } from '../../api/resource.ts'
import type { Claim, HostCapacity } from '../../core/governor/admission.ts'

const NOTHING: Claim = { memoryBytes: 0, diskBytes: 0 }

/** One that is stopped takes no memory; one whose class is gone is promised nothing that anybody knows of. */
export function claimOf(
  { spec }: Resource<'Environment'>,
  environmentClass: Resource<'EnvironmentClass'> | undefined,
): Claim {
  if (environmentClass === undefined) return NOTHING
  return {
    memoryBytes: spec.desired === 'Running' ? guaranteedBytes(environmentClass.spec) : 0,
    diskBytes: parseBytes(spec.disk ?? environmentClass.spec.disk),
  }
}

/** By runner. `assumed` says of environments where they were bound to, when that is not known yet by themselves. */
export function claimsByRunner(
  environments: readonly Resource<'Environment'>[],
  classes: readonly Resource<'EnvironmentClass'>[],
  assumed: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, readonly Claim[]> {
  const byName = new Map(classes.map(each => [each.metadata.name, each]))
  const claims = new Map<string, Claim[]>()
  for (const each of environments) {
    const runner = each.spec.runner ?? assumed.get(each.metadata.uid)
    if (runner === undefined) continue
    const claim = claimOf(each, byName.get(each.spec.class))
    const before = claims.get(runner)
    if (before === undefined) claims.set(runner, [claim])
    else before.push(claim)
  }
  return claims
}

/** Undefined: it has not said what it has, and takes what comes. */
export function capacityOf({ capacity }: RunnerStatus): HostCapacity | undefined {
  if (capacity === undefined) return undefined
  const { memory, memoryRatio, disk, diskRatio } = capacity
  return {
    memoryBytes: parseBytes(memory),
    memoryRatio,
    ...(disk === undefined ? {} : { diskBytes: parseBytes(disk) }),
    ...(diskRatio === undefined ? {} : { diskRatio }),
  }
}
