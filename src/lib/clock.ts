/** A duration in milliseconds. */
export type Millis = number

/** Where time comes from, so that tests can hold it in their hands. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): Millis
  /** Resolves after `ms`; rejects with an AbortError as soon as `signal` aborts. */
  sleep(ms: Millis, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortError(signal))
      const onAbort = () => {
        clearTimeout(timer)
        reject(abortError(signal))
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, ms)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  },
}

/** A point in time as Kubernetes' `metav1.Time` writes it: RFC 3339, whole seconds, UTC. */
export function timestamp(ms: Millis): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')
}

/** As `timestamp`, with microseconds (`metav1.MicroTime`), where tenths of milliseconds matter: stages. */
export function microTimestamp(ms: Millis): string {
  return new Date(ms).toISOString().replace(/Z$/, '000Z')
}

function abortError(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason
  return reason instanceof Error && reason.name === 'AbortError'
    ? reason
    : new DOMException('the operation was aborted', 'AbortError')
}
