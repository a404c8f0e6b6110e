// Options of lists and watches that contradict each other: refused as Kubernetes refuses them.
import type { FieldCause } from '../../../lib/fault.ts'
import { flag, integer, type Query, refuseOptions } from './query.ts'

/** Faults with `invalid` and every contradiction, and with `malformed` on numbers that are none. */
export function checkListOptions(query: Query): void {
  integer(query, 'limit', Number.MAX_SAFE_INTEGER)
  integer(query, 'timeoutSeconds', Number.MAX_SAFE_INTEGER)
  const causes = flag(query, 'watch') ? watchCauses(query) : listCauses(query)
  if (causes.length > 0) throw refuseOptions('ListOptions', causes)
}

function listCauses(query: Query): FieldCause[] {
  const [match, wanted] = [query.get('resourceVersionMatch') ?? '', query.get('resourceVersion') ?? '']
  const causes: FieldCause[] = []
  if (match !== '') {
    if (wanted === '') causes.push(forbidden('is forbidden unless resourceVersion is provided'))
    if (hasContinue(query)) causes.push(forbidden('is forbidden when continue is provided'))
    if (match !== 'Exact' && match !== 'NotOlderThan')
      causes.push(unsupported(match, '"Exact", "NotOlderThan", ""'))
    if (match === 'Exact' && wanted === '0')
      causes.push(forbidden('"exact" is forbidden for resourceVersion "0"'))
  }
  if (query.has('sendInitialEvents'))
    causes.push(forbidden('is forbidden for list', 'sendInitialEvents', 'sendInitialEvents'))
  return causes
}

function watchCauses(query: Query): FieldCause[] {
  const match = query.get('resourceVersionMatch') ?? ''
  const isList = query.has('sendInitialEvents')
  const causes: FieldCause[] = []
  if (isList && match !== 'NotOlderThan')
    causes.push(
      forbidden(
        'requires setting resourceVersionMatch to NotOlderThan',
        'resourceVersionMatch',
        'sendInitialEvents',
      ),
    )
  if (match !== '') {
    if (!isList) causes.push(forbidden('is forbidden for watch unless sendInitialEvents is provided'))
    if (match !== 'NotOlderThan') causes.push(unsupported(match, '"NotOlderThan"'))
    if (hasContinue(query)) causes.push(forbidden('is forbidden when continue is provided'))
  }
  return causes
}

function hasContinue(query: Query): boolean {
  return (query.get('continue') ?? '') !== ''
}

function forbidden(why: string, field = 'resourceVersionMatch', subject = field): FieldCause {
  return { field, message: `Forbidden: ${subject} ${why}`, reason: 'FieldValueForbidden' }
}

function unsupported(value: string, supported: string): FieldCause {
  const message = `Unsupported value: ${JSON.stringify(value.slice(0, 80))}: supported values: ${supported}`
  return { field: 'resourceVersionMatch', message, reason: 'FieldValueNotSupported' }
}
