// What is used on this host now: differences of the samples that the governors take anyway.
import type { EnvironmentUsage, UsageReport } from '../../api/usage.ts'
import type { SandboxId } from '../../core/driver.ts'
import type { Act } from '../../core/governor/act.ts'
import type { HostSample } from '../../core/governor/sample.ts'
import type { Millis } from '../../lib/clock.ts'
import { describeAct } from './describe-act.ts'
import { measureEnvironment, measureHost } from './measure.ts'

/** Long enough that a single burst is no picture of what goes on, short enough to see what one has just begun. */
const WINDOW_MS: Millis = 2_000

/** What was done to an environment, by whom and why. `atMs`: by the wall clock. */
export interface Acted {
  readonly governor: string
  readonly act: Act
  readonly why: string
  readonly atMs: Millis
}

export interface Meter {
  observe(sample: HostSample): void
  /** Undefined until there are two samples. */
  report(): UsageReport | undefined
  /** What its latest run has used so far, or in all when it has ended; undefined: none was seen. */
  spent(id: SandboxId): Spent | undefined
  forget(id: SandboxId): void
}

interface Spent {
  readonly cpuUs: number
  readonly memoryPeakBytes: number
}

export function createMeter(lastActs: (id: SandboxId) => readonly Acted[]): Meter {
  // The oldest first, as many as the window spans.
  let samples: HostSample[] = []
  const runs = new Map<SandboxId, Spent>()
  return {
    observe(sample) {
      // Time that ran backwards: a sample of another life.
      const kept = samples.filter(each => each.atMs < sample.atMs)
      const first = kept.findLastIndex(each => sample.atMs - each.atMs >= WINDOW_MS)
      samples = [...kept.slice(Math.max(0, first)), sample]
      for (const [id, { cpu, memory }] of sample.environments) {
        const before = runs.get(id)
        // Less than it had used: another run.
        const peak = before === undefined || before.cpuUs > cpu.usageUs ? 0 : before.memoryPeakBytes
        runs.set(id, { cpuUs: cpu.usageUs, memoryPeakBytes: Math.max(peak, memory.bytes) })
      }
    },
    spent: id => runs.get(id),
    forget: id => void runs.delete(id),
    report() {
      const now = samples.at(-1)
      const before = samples[0]
      if (now === undefined || before === undefined || now === before) return undefined
      return {
        windowMs: Math.round(now.atMs - before.atMs),
        host: measureHost(now, before),
        environments: [...now.environments].map(([uid, sample]) => {
          // One that came in the meantime is measured since it came.
          const seen = samples.find(each => each.environments.has(uid)) ?? now
          const earlier = seen.environments.get(uid) ?? sample
          const measured = measureEnvironment(sample, earlier, now.atMs - seen.atMs)
          return { uid, usage: { ...measured, ...governorOf(lastActs(uid)) } }
        }),
      }
    },
  }
}

const short = (text: string): string => text.slice(0, 300)

// How memory is shared out and who may shoot is arranged again and again, and changes nothing for whoever works there.
const ARRANGEMENTS: readonly Act['kind'][] = ['memory', 'hold-killer']

function governorOf(all: readonly Acted[]): Pick<EnvironmentUsage, 'governor'> {
  const felt = all.filter(({ act }) => !ARRANGEMENTS.includes(act.kind))
  const [first, ...others] = felt.length > 0 ? felt : all
  if (first === undefined) return {}
  const last = others.reduce((latest, each) => (each.atMs > latest.atMs ? each : latest), first)
  return {
    governor: {
      name: short(last.governor),
      act: short(describeAct(last.act)),
      why: short(last.why),
      at: new Date(last.atMs).toISOString(),
    },
  }
}
