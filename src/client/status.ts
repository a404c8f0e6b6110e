// Kubernetes' `Status` objects back into the faults that they were made from.
import { Fault, type FaultOptions, type FieldCause, REASONS, type Reason } from '../lib/fault.ts'

interface Json {
  readonly [name: string]: unknown
}

/**
 * The fault that an answer of HTTP status `httpStatus` with this body stands for. Our own servers send reason, code and
 * hint along (`details.bothy`); from anything else, a proxy in between for one, the best guess is made. `attempt`
 * says what was attempted, for answers that do not.
 */
export function faultOfAnswer(httpStatus: number, body: string, attempt: string): Fault {
  const status = parseObject(body)
  if (status?.['kind'] !== 'Status') {
    const said = body.length > 0 && body.length < 200 && !body.includes('<') ? `: ${body.trim()}` : ''
    return new Fault(
      reasonOf(httpStatus, undefined),
      'not-our-answer',
      `${attempt}: HTTP ${httpStatus}${said}`,
      {
        hint: 'something else than a Bothy server answered; check the address, and proxies in between',
      },
    )
  }
  return faultOfStatus(status, attempt)
}

/** As `faultOfAnswer`, from a parsed `Status`, e.g. of a watch's ERROR event. */
export function faultOfStatus(status: Json, attempt: string): Fault {
  const details = object(status['details'])
  const ours = object(details['bothy'])
  const reason = isReason(ours['reason'])
    ? ours['reason']
    : reasonOf(number(status['code']), text(status['reason']))
  const options: FaultOptions = {
    ...optional('hint', text(ours['hint'])),
    ...optional('causes', causesOf(details['causes'])),
    ...optional('object', concerned(details)),
    ...optional('continue', text(object(status['metadata'])['continue'])),
  }
  return new Fault(reason, text(ours['code']) ?? 'server-said', text(status['message']) ?? attempt, options)
}

function reasonOf(httpStatus: number, kube: string | undefined): Reason {
  const entries = Object.entries(REASONS) as [Reason, (typeof REASONS)[Reason]][]
  // Kubernetes' word says more than the number: 409 is a conflict or a name that is taken. Three of our reasons share
  // 'InternalError', so the number decides there.
  const byWord = entries.filter(([, row]) => row.kube === kube)
  const byNumber = entries.filter(([, row]) => row.status === httpStatus)
  if (byWord.length === 1) return byWord[0]![0]
  if (byNumber.length > 0) return byNumber.at(-1)![0]
  if (httpStatus === 502) return 'unavailable'
  return httpStatus >= 400 && httpStatus < 500 ? 'malformed' : 'unavailable'
}

function causesOf(value: unknown): readonly FieldCause[] | undefined {
  if (!Array.isArray(value)) return undefined
  return value.map(each => {
    const cause = object(each)
    return {
      field: text(cause['field']) ?? '',
      message: text(cause['message']) ?? '',
      ...optional('reason', text(cause['reason'])),
    }
  })
}

function concerned(details: Json): FaultOptions['object'] | undefined {
  const { kind, group, name, uid } = details
  const named = {
    ...optional('kind', text(kind)),
    ...optional('group', text(group)),
    ...optional('name', text(name)),
    ...optional('uid', text(uid)),
  }
  return Object.keys(named).length === 0 ? undefined : named
}

function parseObject(body: string): Json | undefined {
  try {
    return object(JSON.parse(body))
  } catch {
    return undefined // Not JSON: then it is not a Status either.
  }
}

export function isReason(value: unknown): value is Reason {
  return typeof value === 'string' && Object.hasOwn(REASONS, value)
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {}
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

function optional<N extends string, V>(name: N, value: V | undefined): { [K in N]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [K in N]?: V })
}
