// Closer looks at environments, bounded: what a look costs is decided inside (a fork bomb has thousands of processes), so
// that one which took long is not repeated until twenty times as long has passed.
import type { SandboxId } from '../../core/driver.ts'
import type { Looks, Sense } from '../../core/governor/governor.ts'
import type { HostResources } from '../../core/governor/host-resources.ts'
import type { HostSample } from '../../core/governor/sample.ts'
import type { Millis } from '../../lib/clock.ts'
import { SHORT_TURN_MS, Turns } from '../../lib/turns.ts'

/** Of one environment's look; so it takes a twentieth of a core at most. */
const COSTS = 20

type Looked = Pick<Sense, 'jobs' | 'processes' | 'looked'>

export interface Looker {
  look(wanted: Required<Looks>, host: HostSample): Promise<Looked>
}

export function createLooker(resources: Pick<HostResources, 'jobs' | 'processes'>): Looker {
  const jobs = createRationed(id => resources.jobs(id))
  const processes = createRationed(id => resources.processes(id))
  return {
    async look(wanted, host) {
      const seenJobs = await jobs(wanted.jobs, host)
      const seenProcesses = await processes(wanted.processes, host)
      return {
        jobs: seenJobs.found,
        processes: seenProcesses.found,
        looked: { jobs: seenJobs.looked, processes: seenProcesses.looked },
      }
    },
  }
}

function createRationed<T>(see: (id: SandboxId) => Promise<readonly T[]>) {
  const notBefore = new Map<SandboxId, Millis>()
  return async (wanted: readonly SandboxId[], host: HostSample) => {
    for (const [id, atMs] of notBefore) if (atMs <= host.atMs) notBefore.delete(id)
    const found: T[] = []
    const looked = new Set<SandboxId>()
    const turns = new Turns(SHORT_TURN_MS)
    // One after the other: what each takes is its own.
    for (const id of wanted) {
      await turns.next()
      if (notBefore.has(id) || !host.environments.has(id)) continue
      const sinceMs = performance.now()
      try {
        found.push(...(await see(id)))
        looked.add(id)
      } catch {
        // Nobody was seen this time; whoever asked asks again.
      }
      const tookMs = performance.now() - sinceMs
      notBefore.set(id, host.atMs + tookMs * COSTS)
    }
    return { found, looked }
  }
}
