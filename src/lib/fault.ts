// The one error type of the project. A `Fault` says that a promise could not be kept; endings that were to be
// expected (a process that exits 1, a sandbox found stopped) are values, not faults.

/** How a caller may answer a fault: give up, read the object again, list again, or try later with backoff. */
export type Retry = 'never' | 'reread' | 'relist' | 'backoff'

/**
 * What each reason means to the outside. One table, so that no two doors disagree: `status` is HTTP's, `exit` the
 * CLI's exit code, `kube` the reason in a Kubernetes `Status`.
 */
export const REASONS = {
  malformed: { status: 400, exit: 2, retry: 'never', kube: 'BadRequest' },
  unauthenticated: { status: 401, exit: 3, retry: 'never', kube: 'Unauthorized' },
  forbidden: { status: 403, exit: 3, retry: 'never', kube: 'Forbidden' },
  not_found: { status: 404, exit: 4, retry: 'never', kube: 'NotFound' },
  method_not_allowed: { status: 405, exit: 6, retry: 'never', kube: 'MethodNotAllowed' },
  not_acceptable: { status: 406, exit: 6, retry: 'never', kube: 'NotAcceptable' },
  already_exists: { status: 409, exit: 5, retry: 'never', kube: 'AlreadyExists' },
  conflict: { status: 409, exit: 5, retry: 'reread', kube: 'Conflict' },
  expired: { status: 410, exit: 5, retry: 'relist', kube: 'Expired' },
  too_large: { status: 413, exit: 2, retry: 'never', kube: 'RequestEntityTooLarge' },
  unsupported_media_type: { status: 415, exit: 6, retry: 'never', kube: 'UnsupportedMediaType' },
  invalid: { status: 422, exit: 2, retry: 'never', kube: 'Invalid' },
  exhausted: { status: 429, exit: 7, retry: 'backoff', kube: 'TooManyRequests' },
  cancelled: { status: 499, exit: 130, retry: 'never', kube: 'InternalError' },
  internal: { status: 500, exit: 70, retry: 'backoff', kube: 'InternalError' },
  unsupported: { status: 501, exit: 6, retry: 'never', kube: 'NotImplemented' },
  unavailable: { status: 503, exit: 8, retry: 'backoff', kube: 'ServiceUnavailable' },
  timeout: { status: 504, exit: 8, retry: 'backoff', kube: 'Timeout' },
} as const satisfies Record<string, { status: number; exit: number; retry: Retry; kube: string }>

export type Reason = keyof typeof REASONS

/** One field that was wrong; `path` as Kubernetes writes it, e.g. `spec.content.git.url`. */
export interface FieldCause {
  readonly field: string
  readonly message: string
  readonly reason?: string
}

export interface FaultOptions {
  readonly cause?: unknown
  /** What the reader can do about it: one sentence. */
  readonly hint?: string
  readonly causes?: readonly FieldCause[]
  /** Of a list that expired: where it goes on, at the price that its parts are of different moments. */
  readonly continue?: string
  /** The object concerned, for the `details` of a Kubernetes `Status`. */
  readonly object?: {
    readonly kind?: string
    readonly group?: string
    readonly name?: string
    readonly uid?: string
  }
}

/**
 * `reason` is a closed set (it decides status, exit code and retry); `code` is open, kebab-case, names the one place
 * that raised it, and is never reused. Ask `fault.reason`, never `instanceof`: a fault that crossed a process is
 * rebuilt from JSON.
 */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly reason: Reason
  readonly code: string
  readonly hint: string | undefined
  readonly causes: readonly FieldCause[]
  readonly continue: string | undefined
  readonly object: FaultOptions['object']

  constructor(reason: Reason, code: string, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.reason = reason
    this.code = code
    this.hint = options.hint
    this.causes = options.causes ?? []
    this.continue = options.continue
    this.object = options.object
  }
}

export function isFault(error: unknown): error is Fault {
  return error instanceof Error && error.name === 'Fault' && 'reason' in error
}

const NO_ROOM: readonly unknown[] = ['ENOSPC', 'EDQUOT']

/**
 * Turns whatever was thrown into a fault: an abort is `cancelled`, a full disk `exhausted`, an error that nobody planned
 * for is `internal`.
 */
export function toFault(error: unknown): Fault {
  if (isFault(error)) return error
  if (error instanceof Error && error.name === 'AbortError') {
    return new Fault('cancelled', 'aborted', error.message, { cause: error })
  }
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof Error && NO_ROOM.includes((error as NodeJS.ErrnoException).code)) {
    const hint = 'make room on the disk that this path is on; it is tried again'
    return new Fault('exhausted', 'no-room', message, { cause: error, hint })
  }
  return new Fault('internal', 'unplanned', message, { cause: error })
}
