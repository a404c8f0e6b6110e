// Whom the kernel shot for memory, from its log: the counters of control groups say only how many.
import { closeSync, constants, openSync, readSync } from 'node:fs'

export interface Shot {
  readonly pid: number
  readonly name: string
  /** Its own memory when it was shot; what was swapped is not told. */
  readonly bytes: number
  /** Control group that it was in. */
  readonly group: string
}

// The longest record (LOG_LINE_MAX and its prefix, linux/printk.h).
const buffer = Buffer.alloc(8192)
const MOST_RECORDS = 100_000

export class KernelLog {
  #file: number | undefined
  readonly #parser = createParser()

  /** From now on; what was logged before is none of ours. A log that may not be read says nothing. */
  constructor(path = '/dev/kmsg') {
    try {
      this.#file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
      this.shots()
    } catch {
      this.#file = undefined // In a container, or without the power to: kills are told without names.
    }
  }

  /** Since the last time. Microseconds for each record that was logged. */
  shots(): Shot[] {
    const found: Shot[] = []
    for (let i = 0; i < MOST_RECORDS; i++) {
      const record = this.#next()
      if (record === undefined) break
      const shot = this.#parser(record)
      if (shot !== undefined) found.push(shot)
    }
    return found
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  #next(): string | undefined {
    if (this.#file === undefined) return undefined
    try {
      return buffer.toString('utf8', 0, readSync(this.#file, buffer, 0, buffer.length, null))
    } catch (error) {
      // EPIPE: the oldest records were overwritten, the next read goes on behind them. EAGAIN: that was all.
      return (error as NodeJS.ErrnoException).code === 'EPIPE' ? '' : undefined
    }
  }
}

/** Puts together what the kernel says in two records: who and where (mm/oom_kill.c, dump_oom_victim), and how large. */
export function createParser(): (record: string) => Shot | undefined {
  let said: { readonly pid: number; readonly group: string } | undefined
  return record => {
    const who = /;oom-kill:.*\btask_memcg=(.*),task=.*,pid=(\d+),uid=/.exec(record)
    if (who !== null) said = { group: who[1] ?? '', pid: Number(who[2]) }
    // The name may hold anything but is at most 15 bytes long.
    const what =
      /Killed process (\d+) \((.{0,64}?)\) total-vm:\d+kB, anon-rss:(\d+)kB, file-rss:\d+kB, shmem-rss:(\d+)kB/.exec(
        record,
      )
    if (what === null) return undefined
    const [, pid, name = '', anonymous, shared] = what
    const group = said?.pid === Number(pid) ? said.group : ''
    return { pid: Number(pid), name, bytes: (Number(anonymous) + Number(shared)) * 1024, group }
  }
}
