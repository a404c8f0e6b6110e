// Faults as Kubernetes' `Status` objects: the one place where an error becomes an answer.
import { KIND_NAMES, qualifiedName } from '../api/kinds/kind-names.ts'
import { type Fault, REASONS } from '../lib/fault.ts'

/** Seconds after which trying again makes sense, for reasons that allow it. */
const RETRY_AFTER_S = 1

/**
 * Kubernetes' clients try again by themselves, up to ten times, when they are told after how long. With a token that is
 * refused anyway that only looks like a server that hangs.
 */
function invitesRetry({ reason, code }: Fault): boolean {
  return REASONS[reason].retry === 'backoff' && code !== 'authentication-throttled'
}

/** More are left out: what a small request has wrong can be a very long list. */
const MAX_CAUSES = 100
const MAX_MESSAGE_LENGTH = 16 * 1024

/** `details.bothy` lets our own client rebuild the fault exactly; others read the rest. */
export function toStatus(fault: Fault): object {
  const { status, kube } = REASONS[fault.reason]
  const hint = fault.hint === undefined ? {} : { hint: fault.hint }
  const causes = fault.causes.slice(0, MAX_CAUSES).map(({ field, message, reason }) => ({
    ...(reason === undefined ? {} : { reason }),
    message,
    field,
  }))
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: fault.continue === undefined ? {} : { continue: fault.continue },
    status: 'Failure',
    message: messageOf(fault).slice(0, MAX_MESSAGE_LENGTH),
    reason: kube,
    details: {
      ...fault.object,
      ...(causes.length === 0 ? {} : { causes }),
      ...(invitesRetry(fault) ? { retryAfterSeconds: RETRY_AFTER_S } : {}),
      bothy: { reason: fault.reason, code: fault.code, ...hint },
    },
    code: status,
  }
}

/** Raised where somebody else was faster. */
const OVERTAKEN: readonly string[] = ['object-changed', 'revision-mismatch']
const TAKEN: readonly string[] = ['object-exists', 'name-taken']

/** Kubernetes' own words where its clients have learnt to look for them. */
function messageOf({ code, message, object }: Fault): string {
  if (object?.kind === undefined || object.name === undefined) return message
  const names = Object.values(KIND_NAMES).find(
    each => each.group === object.group && each.kind === object.kind,
  )
  const plural = names?.plural ?? object.kind
  const called = `${qualifiedName({ plural, group: object.group ?? '' })} "${object.name}"`
  if (TAKEN.includes(code)) return `${called} already exists`
  return OVERTAKEN.includes(code)
    ? `Operation cannot be fulfilled on ${called}: the object has been modified; please apply your changes to the latest version and try again`
    : message
}

/**
 * Headers that belong to the answer. The hint goes as a warning, which kubectl prints beside the error; not that of an
 * object that is not there, since kubectl looks whether it is gone after each `delete`, and prints the warning then too.
 */
export function statusHeaders(fault: Fault): Record<string, string> {
  return {
    ...(fault.hint === undefined || fault.code === 'object-not-found'
      ? {}
      : { warning: warningHeader(`hint: ${fault.hint}`) }),
    ...(fault.reason === 'unauthenticated' ? { 'www-authenticate': 'Bearer realm="bothy"' } : {}),
    ...(invitesRetry(fault) ? { 'retry-after': String(RETRY_AFTER_S) } : {}),
  }
}

/** A `Warning` header (code 299), as Kubernetes sends them. */
export function warningHeader(text: string): string {
  // Cut first: the closing quote must not follow half of an escape.
  const printable = text.slice(0, 1000).replace(/[^\x20-\x7e]/g, '?')
  return `299 - "${printable.replace(/["\\]/g, '\\$&')}"`
}
