import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import type { Act } from '../../../core/governor/act.ts'
import { Fault } from '../../../lib/fault.ts'
import { SESSION } from '../groups.ts'
import { type Carry, type Ground, groupDir, loosen, put, tighten } from './ground.ts'
import { numberOf } from './parse.ts'

type MemoryAct = Extract<Act, { kind: 'memory' }>

/**
 * The ceiling, swapped or not, and what the kernel is to leave to it. Both stay when this process ends: they are its
 * class's, as its start has set them. Faults with `exhausted` when it takes more than the ceiling and cannot give it up.
 */
export const memory: Carry<'memory'> = async (ground, act) => {
  const dir = groupDir(ground, 'memory', act.id)
  if (dir === undefined) return
  try {
    if (ground.cgroups.mode === 'v2') await setV2(dir, act)
    else if (act.limitBytes !== undefined) await setV1(dir, act.limitBytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
    const attempt = `lower the memory of ${act.id} to ${act.limitBytes} bytes`
    throw new Fault('exhausted', 'memory-in-use', `${attempt}: more than that is in use`, { cause: error })
  }
}

/** The second counts memory and swap together, and is never below the first: so raised before it, and lowered after it. */
async function setV1(dir: string, limitBytes: number): Promise<void> {
  const files = ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'].map(name => join(dir, name))
  const before = await readFile(files[0] ?? '', 'utf8').catch(() => undefined) // Gone.
  if (before === undefined) return
  // What is swapped counts as much as what is not: an environment that is pushed out whole must not cost another one's.
  for (const file of limitBytes > numberOf(before) ? files.reverse() : files)
    await put(file, String(limitBytes))
}

async function setV2(dir: string, { limitBytes, protectedBytes }: MemoryAct): Promise<void> {
  if (limitBytes !== undefined) {
    await put(join(dir, 'memory.max'), String(limitBytes))
    await put(join(dir, 'memory.swap.max'), String(limitBytes))
  }
  if (protectedBytes === undefined) return
  await put(join(dir, 'memory.low'), String(protectedBytes))
  // Its session before all else in it.
  await put(join(dir, SESSION, 'memory.low'), String(protectedBytes))
  await protectAll(dirname(dir))
}

/** A group is protected by no more than the group above it is. */
async function protectAll(parent: string): Promise<void> {
  let sum = 0
  for (const entry of await readdir(parent, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const low = await readFile(join(parent, entry.name, 'memory.low'), 'utf8').catch(() => '0') // Gone meanwhile.
    sum += numberOf(low)
  }
  await put(join(parent, 'memory.low'), Number.isFinite(sum) ? String(sum) : 'max')
}

/** Who acts in the kernel's place is somebody who lives: the guardian lets it shoot again. */
export const holdKiller: Carry<'hold-killer'> = async (ground, { id, held }) => {
  const dir = groupDir(ground, 'memory', id)
  if (dir === undefined || !ground.abilities.holdKiller)
    throw new Fault(
      'unsupported',
      'hold-killer',
      `hold back the kernel's killer of ${id}: not with this kernel`,
      {
        hint: 'only version 1 of control groups can',
      },
    )
  const file = join(dir, 'memory.oom_control')
  if (held) return void (await tighten(ground, file, '1', '0'))
  await loosen(ground, file, '0')
  await freeBelow(dir)
}

/** Groups that were made inside meanwhile have inherited it, and do not lose it with the one above. */
async function freeBelow(dir: string): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []) // Gone.
  for (const { name } of entries.filter(each => each.isDirectory())) {
    await put(join(dir, name, 'memory.oom_control'), '0')
    await freeBelow(join(dir, name))
  }
}

/** Lets the kernel shoot again, should an earlier runner and its guardian have been killed together. */
export async function resetKiller(ground: Ground, id: SandboxId): Promise<void> {
  const dir = groupDir(ground, 'memory', id)
  if (dir === undefined || !ground.abilities.holdKiller) return
  await put(join(dir, 'memory.oom_control'), '0')
  await freeBelow(dir)
}
