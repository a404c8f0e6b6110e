/**
 * How the system's own heavy work is done (images, copies of disks, backups): a few at a time, and with programs that
 * people who work on this host do not notice.
 */
export interface Background {
  /**
   * Runs `work` when it is its turn, in the order in which it was asked for. `onWait` is called while it waits, now and
   * then, with how many come before it. Faults with `cancelled` when `signal` aborts before its turn.
   */
  run<T>(work: () => Promise<T>, signal: AbortSignal, onWait?: (before: number) => void): Promise<T>
  /** What to run in place of a program, so that it and what it starts come after everybody else. */
  after(argv: readonly [string, ...string[]]): readonly [string, ...string[]]
}
