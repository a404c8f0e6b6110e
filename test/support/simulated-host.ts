// A host made of numbers: it divides its processors among environments as the kernel does (by weight, level by level, up to
// quotas), so that governors can be watched for an hour in a millisecond. What cannot be simulated is not in it.
import type { SandboxId } from '../../src/core/driver.ts'
import type { Act, CpuLimits } from '../../src/core/governor/act.ts'
import type { HostResources, ResourceAbilities } from '../../src/core/governor/host-resources.ts'
import type { EnvironmentSample, HostSample, JobSample } from '../../src/core/governor/sample.ts'
import { divide } from '../../src/core/governor/shares.ts'

export interface Demand {
  /** Cores that it would use. */
  readonly session: number
  readonly work: number
}

interface Simulated {
  demand: Demand
  limits: CpuLimits
  usageUs: number
  sessionUs: number
  throttledUs: number
  waitedUs: number
  /** Cores in the latest step. */
  rate: Demand
  readonly jobs: Map<number, { readonly sample: JobSample; cores: number }>
}

export interface SimulatedHost extends HostResources {
  set(id: SandboxId, demand: Demand): void
  remove(id: SandboxId): void
  /** A job in it that would use so many cores, beside what it demands otherwise; 0: it sleeps. */
  job(id: SandboxId, group: number, cores: number, born?: 'session' | 'work'): void
  endJob(id: SandboxId, group: number): void
  /** Lets so much time pass. */
  pass(ms: number): void
  /** Cores that it got in the latest step. */
  rate(id: SandboxId): Demand
  limits(id: SandboxId): CpuLimits
  /** Acts so far, of which the next so many fail. */
  readonly acts: Act[]
  failing: number
  released: number
  now(): HostSample
}

const ABILITIES: ResourceAbilities = {
  cpuWeights: true,
  cpuCeilings: true,
  pressure: true,
  freeze: false,
  reclaim: false,
  ioLimits: false,
  ioWeights: false,
  swap: 'none',
  holdKiller: false,
}
const KERNEL_DEFAULT: CpuLimits = { weight: 100, sessionWeight: 100, workWeight: 100 }
const STEP_MS = 50

/** `pressure` false: a kernel without PSI. */
export function createSimulatedHost(cores: number, pressure = true): SimulatedHost {
  const environments = new Map<SandboxId, Simulated>()
  const acts: Act[] = []
  let atMs = 1_000
  let busyUs = 0

  const get = (id: SandboxId): Simulated => {
    const found = environments.get(id)
    if (found === undefined) throw new Error(`no environment ${id}`)
    return found
  }
  const wanted = ({ demand, jobs }: Simulated, where: 'session' | 'work') =>
    [...jobs.values()].reduce(
      (sum, each) => sum + (each.sample.in === where ? each.cores : 0),
      where === 'session' ? demand.session : demand.work,
    )

  const step = (ms: number): void => {
    const all = [...environments.values()]
    const within = all.map(each => {
      const work = Math.min(wanted(each, 'work'), each.limits.workCores ?? Number.POSITIVE_INFINITY)
      const session = wanted(each, 'session')
      return { session, work, total: Math.min(session + work, each.limits.cores ?? cores, cores) }
    })
    const given = divide(
      cores,
      within.map(({ total }, at) => ({ weight: (all[at] as Simulated).limits.weight, wants: total })),
    ).given
    all.forEach((each, at) => {
      const { session, work } = within[at] as (typeof within)[number]
      const own = given[at] as number
      const { sessionWeight, workWeight } = each.limits
      const [gotSession = 0, gotWork = 0] = divide(own, [
        { weight: sessionWeight, wants: session },
        { weight: workWeight, wants: work },
      ]).given
      each.rate = { session: gotSession, work: gotWork }
      each.usageUs += own * ms * 1000
      each.sessionUs += gotSession * ms * 1000
      busyUs += own * ms * 1000
      const asked = wanted(each, 'work') + session
      if (wanted(each, 'work') > work + 1e-9 || asked > (each.limits.cores ?? Number.POSITIVE_INFINITY))
        each.throttledUs += ms * 1000
      if (session + work > own + 1e-9) each.waitedUs += ms * 1000
      const totals = { session: wanted(each, 'session'), work: wanted(each, 'work') }
      for (const job of each.jobs.values()) {
        if (job.cores === 0) continue
        const where = job.sample.in
        const total = totals[where]
        const got = where === 'session' ? gotSession : gotWork
        const cpuUs = job.sample.cpuUs + (total > 0 ? (got * job.cores) / total : 0) * ms * 1000
        each.jobs.set(job.sample.group, { ...job, sample: { ...job.sample, cpuUs } })
      }
    })
    atMs += ms
  }

  const sampleOf = (id: SandboxId, each: Simulated): EnvironmentSample => ({
    id,
    cpu: {
      usageUs: Math.round(each.usageUs),
      sessionUs: Math.round(each.sessionUs),
      throttledUs: each.throttledUs,
    },
    memory: { bytes: 1e6, limitBytes: 1e9, oomKills: 0 },
    processes: each.jobs.size + 1,
    ...(pressure ? { pressure: { cpu: { someUs: each.waitedUs, fullUs: 0 } } } : {}),
    isFrozen: false,
  })
  const now = (): HostSample => ({
    atMs,
    cores,
    busyUs: Math.round(busyUs),
    memory: { totalBytes: 8e9, availableBytes: 4e9, swapTotalBytes: 0, swapFreeBytes: 0 },
    environments: new Map([...environments].map(([id, each]) => [id, sampleOf(id, each)])),
  })

  const host: SimulatedHost = {
    abilities: ABILITIES,
    acts,
    failing: 0,
    released: 0,
    now,
    set(id, demand) {
      const found = environments.get(id)
      if (found !== undefined) found.demand = demand
      else
        environments.set(id, {
          ...{ demand, limits: KERNEL_DEFAULT, jobs: new Map(), rate: { session: 0, work: 0 } },
          ...{ usageUs: 0, sessionUs: 0, throttledUs: 0, waitedUs: 0 },
        })
    },
    remove: id => void environments.delete(id),
    job(id, group, jobCores, born = 'session') {
      const { jobs } = get(id)
      const known = jobs.get(group)
      const sample = known?.sample ?? {
        ...{
          environment: id,
          group,
          startedTicks: Math.round(atMs / 10),
          pids: [group],
          cpuUs: 0,
          runnable: 0,
        },
        ...{ in: born, isFromSession: born === 'session', name: 'job' },
      }
      jobs.set(group, { sample, cores: jobCores })
    },
    endJob: (id, group) => void get(id).jobs.delete(group),
    pass(ms) {
      for (let left = ms; left > 0; left -= STEP_MS) step(Math.min(STEP_MS, left))
    },
    rate: id => get(id).rate,
    limits: id => get(id).limits,
    sense: async () => now(),
    jobs: async id =>
      [...(environments.get(id)?.jobs.values() ?? [])].map(({ sample, cores: wants }) => ({
        ...sample,
        // One that uses a third of a processor or less is caught at rest.
        runnable: Math.ceil(wants - 1 / 3),
      })),
    processes: async () => [],
    async act(act) {
      if (host.failing > 0) {
        host.failing -= 1
        throw new Error('the control group is out of order')
      }
      acts.push(act)
      const found = environments.get(act.id)
      if (found === undefined) return
      if (act.kind === 'cpu') found.limits = act.limits
      if (act.kind === 'move') {
        const job = found.jobs.get(act.group)
        if (job?.sample.startedTicks === act.startedTicks)
          found.jobs.set(act.group, { ...job, sample: { ...job.sample, in: act.to } })
      }
    },
    async wake() {
      // Nobody is frozen here.
    },
    async release() {
      host.released += 1
      for (const each of environments.values()) each.limits = KERNEL_DEFAULT
    },
  }
  return host
}
