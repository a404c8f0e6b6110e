import type { PathConflict } from './apply.ts'
import type { ManagerIdentity, TrackedManagers } from './entries.ts'
import { compareText } from './json.ts'
import { printElement } from './path-element.ts'

/** A field that a manifest would change and somebody else owns. */
export interface ApplyConflict extends ManagerIdentity {
  /** When that manager wrote last. */
  readonly time?: string
  /** `.spec.class`, as Kubernetes prints it: the `field` of a Status's cause. */
  readonly path: string
  /** `conflict with "kubectl-edit" using bothy.dev/v1alpha1`: the `message` of a Status's cause. */
  readonly message: string
}

/** In the order in which kube-apiserver prints them: by manager, then by path. */
export function describeConflicts(
  conflicts: readonly PathConflict[],
  managers: TrackedManagers,
): ApplyConflict[] {
  return [...conflicts]
    .sort((a, b) => compareText(a.manager, b.manager))
    .flatMap(({ manager: id, path }) => {
      const tracked = managers.get(id)
      if (tracked === undefined) return []
      const { manager, operation, apiVersion, subresource, time } = tracked
      return {
        manager,
        operation,
        apiVersion,
        ...(subresource === undefined ? {} : { subresource }),
        ...(time === undefined ? {} : { time }),
        path: path.map(printElement).join(''),
        message: `conflict with ${nameOf(tracked)}`,
      }
    })
}

/** The message of the whole Status: what kubectl shows. */
export function conflictMessage(conflicts: readonly ApplyConflict[]): string {
  const [only] = conflicts
  if (only !== undefined && conflicts.length === 1) {
    return `Apply failed with 1 conflict: ${only.message}: ${only.path}`
  }
  const byManager = Map.groupBy(conflicts, nameOf)
  const lines = [...byManager].flatMap(([name, theirs]) => [
    `conflicts with ${name}:`,
    ...theirs.map(({ path }) => `- ${path}`),
  ])
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`
}

function nameOf({ manager, operation, apiVersion, subresource }: ManagerIdentity): string {
  const through = subresource === undefined ? '' : ` with subresource ${JSON.stringify(subresource)}`
  const using = operation === 'Update' ? ` using ${apiVersion}` : ''
  return `${JSON.stringify(manager)}${through}${using}`
}
