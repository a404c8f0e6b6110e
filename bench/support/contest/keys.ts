// A person at a shell: keys, and how long each takes to show; and small pieces of work, from asking to done.
import { systemClock } from '../../../src/lib/clock.ts'
import type { Machine, Terminal } from './contestant.ts'

const KEY_EVERY_MS = 50
const WORK_EVERY_MS = 200
/** Keys in a shell's line, before it is cleared. */
const LINE = 60
const LOST_MS = 60_000
const SHELL = ['/bin/bash', '--norc', '--noprofile', '-i']
const CLEAR = '\x15' // ^U
// Burns 20 ms of processor time for each byte, by the clock of the process itself (CLOCK_PROCESS_CPUTIME_ID is 2).
const CLOCK_GETTIME = process.arch === 'arm64' ? 113 : 228
const BURN = `sub cpu { my $t = chr(0) x 16; syscall(${CLOCK_GETTIME}, 2, $t); my ($s, $n) = unpack("q2", $t); $s * 1e3 + $n / 1e6 }
sub burn { my $end = cpu() + $_[0]; 1 while cpu() < $end; print "d" } $| = 1; system("stty raw -echo");`
const WORKER = `${BURN} print "r"; while (sysread(STDIN, my $byte, 1)) { burn(20) }`
/** As many at once as it is told, each for so many milliseconds of processor time. */
const CREW = `${BURN} my ($count, $ms) = @ARGV; print "r"; while (sysread(STDIN, my $byte, 1)) {
for (1 .. $count) { if (!fork) { burn($ms); exit } } 1 while wait > 0 }`

export interface Person {
  /** Types for so long, and says of each key how many milliseconds it took to show. */
  type(forMs: number, onEcho: (ms: number) => void): Promise<void>
  /** Asks for work for so long, a piece at a time. */
  work(forMs: number, onDone: (ms: number) => void): Promise<void>
  leave(): void
}

export async function sitDown(machine: Machine): Promise<Person> {
  const shell = await machine.open(SHELL)
  const worker = await machine.open(['perl', '-e', WORKER])
  const echoes = watch(shell, 'a')
  const dones = watch(worker, 'd')
  await watch(worker, 'r').reach(1)
  shell.input.write("PS1=; bind 'set enable-bracketed-paste off'\r")
  await systemClock.sleep(500)
  return {
    type: (forMs, onEcho) => {
      let onLine = 0
      return repeat(forMs, KEY_EVERY_MS, onEcho, async () => {
        if (onLine++ === LINE) {
          onLine = 1
          shell.input.write(CLEAR)
        }
        await echoes.next(() => shell.input.write('a'))
      })
    },
    work: (forMs, onDone) =>
      repeat(forMs, WORK_EVERY_MS, onDone, () => dones.next(() => worker.input.write('.'))),
    leave() {
      shell.input.end(`${CLEAR}exit\r`)
      worker.input.end()
    },
  }
}

/** Processes that sit still until they are called, and then all want a core each. */
export interface Crew {
  /** Milliseconds until all have had their processor time. */
  call(): Promise<number>
  leave(): void
}

export async function hire(machine: Machine, count: number, cpuMs: number): Promise<Crew> {
  const terminal = await machine.open(['perl', '-e', CREW, String(count), String(cpuMs)])
  const dones = watch(terminal, 'd')
  await watch(terminal, 'r').reach(1)
  return {
    async call() {
      const called = performance.now()
      await dones.next(() => terminal.input.write('.'), count)
      return performance.now() - called
    },
    leave: () => void terminal.input.end(),
  }
}

/** At fixed times; what was due while its forerunner was still waited for counts from when it was due. */
async function repeat(
  forMs: number,
  everyMs: number,
  onTook: (ms: number) => void,
  once: () => Promise<void>,
): Promise<void> {
  const until = performance.now() + forMs
  for (let due = performance.now(); due < until; due += everyMs) {
    const isLate = performance.now() > due + 1
    if (!isLate) await systemClock.sleep(Math.max(0, due - performance.now()))
    const from = isLate ? due : performance.now()
    await once()
    onTook(performance.now() - from)
    // What was due and has not even begun: nobody waits for all of it, and so long at least each would have taken.
    if (performance.now() < until) continue
    for (let left = due + everyMs; left < until; left += everyMs) onTook(performance.now() - left)
    return
  }
}

interface Watched {
  /** Resolves when the letter has been seen so many times since the beginning. */
  reach(count: number): Promise<void>
  /** Resolves when it is seen, so many times, after `cause`. */
  next(cause: () => void, times?: number): Promise<void>
}

function watch({ output }: Terminal, letter: string): Watched {
  const code = letter.charCodeAt(0)
  let count = 0
  let waiting: { readonly least: number; readonly seen: () => void } | undefined
  output.on('data', (bytes: Buffer) => {
    for (const byte of bytes) if (byte === code) count += 1
    if (waiting !== undefined && count >= waiting.least) waiting.seen()
  })
  const reach = (least: number) =>
    new Promise<void>((resolve, reject) => {
      if (count >= least) return resolve()
      const lost = setTimeout(() => reject(new Error(`nothing shown in ${LOST_MS} ms`)), LOST_MS)
      waiting = {
        least,
        seen() {
          waiting = undefined
          clearTimeout(lost)
          resolve()
        },
      }
    })
  return {
    reach,
    async next(cause, times = 1) {
      const least = count + times
      cause()
      await reach(least)
    },
  }
}
