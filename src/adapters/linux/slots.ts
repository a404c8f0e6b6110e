// A slot is a number that gives a running sandbox its id range, its addresses and its interface's name. Slots are files
// made with O_EXCL below /run/bothy, so that runners on one host never take the same; they vanish with a reboot.
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import { SLOTS } from './layout.ts'

// Ids from 1879048192 (0x70000000): far above what distributions hand out in /etc/subuid (from 100000), and where
// systemd's range for containers ends. 8192 slots end at 0xf0000000, below the id that means none.
const FIRST_ID = 1_879_048_192
/**
 * More than the 65,536 ids that files have: useradd gives the first user of an image the ids from 100,000 for rootless
 * containers, the second those from 165,536, and newuidmap insists on them. Room for both.
 */
export const IDS_PER_SLOT = 262_144
// 198.18.0.0/15 is reserved for benchmarking between networks (RFC 2544): nobody routes it. One /30 a slot.
const FIRST_ADDRESS = (198 << 24) | (18 << 16)
export const SLOT_COUNT = 8_192
export const PREFIX = 30

export interface Slot {
  readonly number: number
  readonly idBase: number
  readonly hostAddress: string
  readonly address: string
}

export function slotOf(number: number): Slot {
  const network = FIRST_ADDRESS + number * 4
  return {
    number,
    idBase: FIRST_ID + number * IDS_PER_SLOT,
    hostAddress: dotted(network + 1),
    address: dotted(network + 2),
  }
}

/** Name of the host's end of the link; at most 15 characters. `kind` decides which firewall rules apply. */
export function interfaceName(shortId: string, slot: number, kind: 'sandbox' | 'job'): string {
  return `${kind === 'job' ? 'btj' : 'bty'}${shortId}${slot.toString(36)}`
}

/** Slots whose ids somebody was given in /etc/subuid or /etc/subgid. */
export function reservedSlots(subids: string): ReadonlySet<number> {
  const reserved = new Set<number>()
  for (const line of subids.split('\n')) {
    const [, start, count] = line.split(':').map(Number)
    if (start === undefined || count === undefined || !(count > 0) || start + count <= FIRST_ID) continue
    const first = Math.max(0, Math.floor((start - FIRST_ID) / IDS_PER_SLOT))
    const last = Math.min(SLOT_COUNT - 1, Math.floor((start + count - 1 - FIRST_ID) / IDS_PER_SLOT))
    for (let slot = first; slot <= last; slot++) reserved.add(slot)
  }
  return reserved
}

// A hundred starts at once look once, and each tries another number: else all would try the lowest, and all but one again.
let looking: Promise<(number: number) => boolean> | undefined
const trying = new Set<number>()

/** Takes the lowest free slot for `owner`. Faults with `exhausted` when all are taken. */
export async function takeSlot(owner: string): Promise<Slot> {
  looking ??= lookForFree().finally(() => {
    looking = undefined
  })
  const isFree = await looking
  for (let number = 0; number < SLOT_COUNT; number++) {
    if (trying.has(number) || !isFree(number)) continue
    trying.add(number)
    try {
      await writeFile(join(SLOTS, String(number)), owner, { flag: 'wx', mode: 0o600 })
      return slotOf(number)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
    } finally {
      trying.delete(number)
    }
  }
  throw new Fault('exhausted', 'no-slot', 'take an id range: all are in use', {
    hint: 'stop some environments',
  })
}

async function lookForFree(): Promise<(number: number) => boolean> {
  await mkdir(SLOTS, { recursive: true, mode: 0o755 })
  const texts = await Promise.all(
    ['/etc/subuid', '/etc/subgid'].map(file => readFile(file, 'utf8').catch(() => '')),
  ) // Absent: nobody was given any.
  const reserved = reservedSlots(texts.join('\n'))
  const taken = new Set((await readdir(SLOTS)).map(Number))
  // Somebody with another /run (a container) may share our network.
  const addresses = new Set(
    Object.values(networkInterfaces()).flatMap(each => (each ?? []).map(({ address }) => address)),
  )
  return number => !taken.has(number) && !reserved.has(number) && !addresses.has(slotOf(number).hostAddress)
}

export async function releaseSlot(number: number, owner: string): Promise<void> {
  const file = join(SLOTS, String(number))
  const holder = await readFile(file, 'utf8').catch(() => undefined) // Released already.
  if (holder === owner) await rm(file, { force: true })
}

export interface TakenSlot {
  readonly number: number
  readonly owner: string
  readonly takenMs: number
}

/** Slots of owners with that prefix: what a sweep compares with what really runs. */
export async function slotsOf(ownerPrefix: string): Promise<TakenSlot[]> {
  const names = await readdir(SLOTS).catch(() => []) // No folder: no slots.
  const slots = await Promise.all(
    names.map(async name => {
      const file = join(SLOTS, name)
      const read = Promise.all([readFile(file, 'utf8'), stat(file)])
      const [owner, { mtimeMs }] = await read.catch(() => ['', { mtimeMs: 0 }] as const) // Released while we looked.
      return { number: Number(name), owner, takenMs: mtimeMs }
    }),
  )
  return slots.filter(({ owner }) => owner !== '' && owner.startsWith(ownerPrefix))
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map(shift => (address >>> shift) & 255).join('.')
}
