// The edge: what PostgreSQL or its driver threw becomes a Fault here, once, by SQLSTATE or errno.
import pg from 'pg'
import { Fault, isFault, type Reason } from '../../lib/fault.ts'

interface Verdict {
  readonly reason: Reason
  readonly code: string
  readonly hint?: string
}

const CONNECTION: Verdict = {
  reason: 'unavailable',
  code: 'database-unreachable',
  hint: 'check that PostgreSQL runs and that the database URL names it; the operation can be repeated',
}
const LOGIN: Verdict = {
  reason: 'unavailable',
  code: 'database-refuses-login',
  hint: 'check user, password and database name in the database URL',
}
const BUSY: Verdict = { reason: 'unavailable', code: 'database-busy', hint: 'try again in a moment' }
const INVALID: Verdict = {
  reason: 'invalid',
  code: 'text-not-storable',
  hint: 'texts must be valid Unicode without NUL characters',
}

// PostgreSQL 18, appendix A. Five characters name one condition, two a whole class.
const STATES: Readonly<Record<string, Verdict>> = {
  '08': CONNECTION,
  '57P01': CONNECTION, // admin_shutdown
  '57P02': CONNECTION, // crash_shutdown
  '57P03': CONNECTION, // cannot_connect_now
  '57P05': CONNECTION, // idle_session_timeout
  '25P03': CONNECTION, // idle_in_transaction_session_timeout
  '25006': {
    ...CONNECTION,
    code: 'database-read-only',
    hint: 'the database URL must name the primary server',
  },
  '58030': { ...BUSY, code: 'database-io-error', hint: "look at the disk that holds PostgreSQL's data" },
  '53100': {
    ...BUSY,
    code: 'database-disk-full',
    hint: "make room on the disk that holds PostgreSQL's data",
  },
  '53': BUSY, // insufficient resources, too many connections
  '40': BUSY, // serialization failure, deadlock
  '55P03': BUSY, // lock_not_available
  '57014': { reason: 'timeout', code: 'database-timeout', hint: 'try again in a moment' }, // query_canceled
  '28': LOGIN,
  '3D000': LOGIN,
  '42501': { ...LOGIN, code: 'database-permission', hint: "the database's user must own the database" },
  '21000': { reason: 'internal', code: 'database-refused' },
  '22P02': INVALID, // invalid_text_representation: e.g. half of a surrogate pair in JSON
  '22P05': INVALID, // untranslatable_character: \u0000 in JSON
  '22021': INVALID, // character_not_in_repertoire: NUL in a text
}

/** `what` says what was attempted on what, e.g. `create environment default/otter`. */
export function sqlFault(error: unknown, what: string): Fault {
  if (isFault(error)) return error
  const verdict = judge(error)
  const said = error instanceof Error ? error.message : String(error)
  const hint = verdict.hint === undefined ? {} : { hint: verdict.hint }
  return new Fault(verdict.reason, verdict.code, `${what}: ${said}`, { cause: error, ...hint })
}

/** Whether PostgreSQL refused the values of a statement, so that other values might pass. */
export function isRefusedValue(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code !== undefined && /^2[1-3]/.test(error.code)
}

function judge(error: unknown): Verdict {
  if (error instanceof pg.DatabaseError) {
    const state = error.code ?? ''
    return STATES[state] ?? STATES[state.slice(0, 2)] ?? { reason: 'internal', code: 'database-refused' }
  }
  // A mistake of ours, not of the network's.
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) {
    return { reason: 'internal', code: 'unplanned' }
  }
  // Whatever else the driver throws (errno of the socket, "connection terminated") means that the server did not answer.
  return CONNECTION
}
