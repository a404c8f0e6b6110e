import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import type { CpuLimits, Weight } from '../../../core/governor/act.ts'
import { Fault } from '../../../lib/fault.ts'
import { SESSION, WORK } from '../groups.ts'
import type { Carry, Ground } from './ground.ts'
import { groupDir } from './ground.ts'

/** The kernel's default, in which it counts out what may be used. */
const PERIOD_US = 100_000
/** The kernel gives nobody less than that of a period. */
const LEAST_US = 1_000
/** Version 1 counts in these units what version 2 calls 100; both know nothing below the one and above the other. */
const SHARES = { normal: 1024, least: 2, most: 262_144 }
/** What engines inside have made at the top counts as work too; whoever makes more than that dodges, and is seen to. */
const MOST_METERED = 32

/**
 * Weights and ceilings of processors. Everything here is a matter of microseconds, many times a second, so it is written
 * in place and not by another thread. When this process ends nothing of it stays but who comes first within an environment.
 */
export const cpu: Carry<'cpu'> = async (ground, { id, limits }) => {
  const { abilities, guardian } = ground
  const dir = groupDir(ground, 'cpu', id)
  if (dir === undefined || !abilities.cpuWeights)
    throw new Fault('unsupported', 'cpu-weights', `share processors with ${id}: not with this kernel`, {
      hint: 'control groups need the cpu controller (CONFIG_FAIR_GROUP_SCHED)',
    })
  const files = filesOf(ground)
  await guardian.hold(join(dir, files.weight), files.weightOf(100))
  write(join(dir, files.weight), files.weightOf(limits.weight))
  // An init system inside takes the controller from its groups when it has no use for it.
  const session = join(dir, SESSION, files.weight)
  if (!write(session, files.weightOf(limits.sessionWeight)) && share(dir))
    write(session, files.weightOf(limits.sessionWeight))
  write(join(dir, WORK, files.weight), files.weightOf(limits.workWeight))
  if (abilities.cpuCeilings) await setCeilings(ground, dir, limits)
}

/** What an earlier runner may have left, should its guardian have been killed with it. */
export function resetCpu(ground: Ground, id: SandboxId): void {
  const dir = groupDir(ground, 'cpu', id)
  if (dir === undefined || !ground.abilities.cpuWeights) return
  const files = filesOf(ground)
  write(join(dir, files.weight), files.weightOf(100))
  if (!ground.abilities.cpuCeilings) return
  write(join(dir, WORK, files.burst), '0')
  for (const group of [WORK, '']) write(join(dir, group, files.quota), looseQuota(ground))
}

async function setCeilings(ground: Ground, dir: string, { cores, workCores }: CpuLimits): Promise<void> {
  const files = filesOf(ground)
  // In version 1 nobody may have a ceiling above that of whom he is in.
  const work = workCores === undefined || workCores >= (cores ?? Infinity) ? undefined : workCores
  const own = join(dir, files.quota)
  if (cores !== undefined) await ground.guardian.hold(own, looseQuota(ground))
  setQuota(ground, dir, cores)
  if (work !== undefined) await meter(ground, dir, work)
  else if (ground.guardian.holds(join(dir, WORK, files.quota)))
    for (const file of ground.guardian.heldIn(dir, files.quota)) if (file !== own) await release(ground, file)
  if (cores === undefined) await ground.guardian.drop(own)
}

/** Everything but `session`, each with what all may use together: the sum is watched by who decides. */
async function meter(ground: Ground, dir: string, cores: number): Promise<void> {
  const { quota } = filesOf(ground)
  for (const group of metered(dir)) {
    const file = join(dir, group, quota)
    const isOurs = ground.guardian.holds(file)
    // Somebody inside holds it down by himself.
    if (!isOurs && group !== WORK && !/^(max|-1)/.test(read(file) ?? 'max')) continue
    await ground.guardian.hold(file, looseQuota(ground))
    setQuota(ground, join(dir, group), cores, true)
  }
}

async function release(ground: Ground, file: string): Promise<void> {
  write(file.replace(/[^/]+$/, filesOf(ground).burst), '0')
  write(file, looseQuota(ground))
  await ground.guardian.drop(file)
}

function metered(dir: string): string[] {
  try {
    const groups = readdirSync(dir, { withFileTypes: true }).filter(
      each => each.isDirectory() && each.name !== SESSION,
    )
    return [WORK, ...groups.map(({ name }) => name).filter(name => name !== WORK)].slice(0, MOST_METERED)
  } catch {
    return [] // Gone.
  }
}

/** `bursts`: what it did not use of one period it may use in the next. */
function setQuota(ground: Ground, dir: string, cores: number | undefined, bursts = false): void {
  const { quota, burst } = filesOf(ground)
  const file = join(dir, quota)
  const us = cores === undefined ? undefined : Math.max(LEAST_US, Math.round(cores * PERIOD_US))
  const value =
    us === undefined ? looseQuota(ground) : ground.cgroups.mode === 'v2' ? `${us} ${PERIOD_US}` : String(us)
  // It may not exceed the quota at any moment.
  if (bursts) write(join(dir, burst), '0')
  try {
    write(file, value)
  } catch (error) {
    // Version 1 refuses as long as somebody in it has a higher one: an engine inside, whose limit then says nothing anyway.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL' || cores === undefined) throw error
    lowerBelow(dir, quota, us ?? 0)
    write(file, value)
  }
  if (bursts && us !== undefined) write(join(dir, burst), String(us))
}

function lowerBelow(dir: string, quota: string, us: number): void {
  for (const group of readdirSync(dir, { withFileTypes: true })) {
    if (!group.isDirectory()) continue
    lowerBelow(join(dir, group.name), quota, us)
    const file = join(dir, group.name, quota)
    const period = Number(read(join(dir, group.name, 'cpu.cfs_period_us')) ?? PERIOD_US)
    if ((Number(read(file) ?? -1) * PERIOD_US) / period > us) write(file, '-1')
  }
}

interface Files {
  readonly weight: string
  readonly quota: string
  readonly burst: string
  weightOf(weight: Weight): string
}

const V1: Files = {
  weight: 'cpu.shares',
  quota: 'cpu.cfs_quota_us',
  burst: 'cpu.cfs_burst_us',
  weightOf: weight =>
    String(Math.min(SHARES.most, Math.max(SHARES.least, Math.round((weight * SHARES.normal) / 100)))),
}
const V2: Files = {
  weight: 'cpu.weight',
  quota: 'cpu.max',
  burst: 'cpu.max.burst',
  weightOf: weight => String(Math.min(10_000, Math.max(1, Math.round(weight)))),
}

const filesOf = ({ cgroups }: Ground): Files => (cgroups.mode === 'v2' ? V2 : V1)
const looseQuota = ({ cgroups }: Ground): string => (cgroups.mode === 'v2' ? `max ${PERIOD_US}` : '-1')

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1').trim()
  } catch {
    return undefined // Gone, or not in this kernel.
  }
}

/** Version 2: lets the groups in `dir` have processors to divide. False when it is gone, or has processes of its own. */
function share(dir: string): boolean {
  try {
    return write(join(dir, 'cgroup.subtree_control'), '+cpu')
  } catch {
    return false // EBUSY: it is not divided yet.
  }
}

/** False when it is gone, or not in this kernel: nothing to hold. */
function write(file: string, value: string): boolean {
  try {
    writeFileSync(file, value, { flag: 'r+' })
    return true
  } catch (error) {
    if (!['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return false
  }
}
