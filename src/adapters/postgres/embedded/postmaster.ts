// Finding, watching and stopping a PostgreSQL server by what the kernel says of it: a number in a file proves nothing.
import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Millis, systemClock } from '../../../lib/clock.ts'
import { Fault } from '../../../lib/fault.ts'

/** A process, told apart from a later one with the same number. */
export interface Postmaster {
  readonly pid: number
  /** In clock ticks since boot. */
  readonly startTime: string
}

export interface PidFile {
  readonly pid: number
  readonly socketDir: string
  /** `starting`, `ready`, `stopping`, … ; '' before it is known. */
  readonly status: string
}

const POLL_MS = 10
// A fast shutdown writes a checkpoint: seconds on a slow disk with much to write.
const FAST_STOP_MS = 60_000
const IMMEDIATE_STOP_MS = 10_000

/** What `postmaster.pid` says; undefined when there is none or it is not written to the end. */
export async function readPidFile(pgdata: string): Promise<PidFile | undefined> {
  const text = await readFile(join(pgdata, 'postmaster.pid'), 'utf8').catch(ignoreMissing)
  // Lines as in PostgreSQL's miscadmin.h: pid, data directory, start time, port, socket directory, address, shmem, status.
  const lines = text?.split('\n') ?? []
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined
  return { pid, socketDir: lines[4] ?? '', status: lines[7]?.trim() ?? '' }
}

/**
 * The living server of this data directory, if its `postmaster.pid` names one: a process of `uid` that runs a program
 * called postgres and works in that directory.
 */
export async function findPostmaster(pgdata: string, uid: number): Promise<Postmaster | undefined> {
  const file = await readPidFile(pgdata)
  if (file === undefined) return undefined
  const startTime = await startTimeOf(file.pid)
  if (startTime === undefined || !(await worksIn(file.pid, pgdata, uid))) return undefined
  return { pid: file.pid, startTime }
}

/** The program that a process runs; undefined when it has ended. */
export async function programOf({ pid }: Postmaster): Promise<string | undefined> {
  return readlink(`/proc/${pid}/exe`).catch(ignoreGone)
}

/** All processes of servers of this data directory: also those that a killed postmaster left behind. */
export async function findServerProcesses(pgdata: string, uid: number): Promise<readonly Postmaster[]> {
  const found: Postmaster[] = []
  for (const name of await readdir('/proc')) {
    const pid = Number(name)
    if (!Number.isSafeInteger(pid) || !(await worksIn(pid, pgdata, uid))) continue
    const startTime = await startTimeOf(pid)
    if (startTime !== undefined) found.push({ pid, startTime })
  }
  return found
}

export async function isAlive({ pid, startTime }: Postmaster): Promise<boolean> {
  return (await startTimeOf(pid)) === startTime
}

/**
 * Stops the server and waits for its end: first fast (clients are cut off, everything is written), then, if that does
 * not come to an end, at once (the next start recovers from the log). Faults with `timeout` when it survives both.
 */
export async function stopPostmaster(postmaster: Postmaster): Promise<void> {
  if (await endsAfter(postmaster, 'SIGINT', FAST_STOP_MS)) return
  if (await endsAfter(postmaster, 'SIGQUIT', IMMEDIATE_STOP_MS)) return
  const message = `stop PostgreSQL: process ${postmaster.pid} does not end`
  throw new Fault('timeout', 'postgres-does-not-stop', message, { hint: 'look at its log and at the disk' })
}

/** Waits until what a killed postmaster left behind has ended: its children notice, finish and go. */
export async function waitForStrays(pgdata: string, uid: number): Promise<void> {
  const strays = await findServerProcesses(pgdata, uid)
  const left = await Promise.all(strays.map(async stray => !(await ends(stray, IMMEDIATE_STOP_MS))))
  const stuck = strays.filter((_, index) => left[index])
  for (const stray of stuck) await endsAfter(stray, 'SIGKILL', IMMEDIATE_STOP_MS)
}

async function endsAfter(postmaster: Postmaster, signal: NodeJS.Signals, withinMs: Millis): Promise<boolean> {
  if (!(await isAlive(postmaster))) return true
  try {
    process.kill(postmaster.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
  return ends(postmaster, withinMs)
}

async function ends(postmaster: Postmaster, withinMs: Millis): Promise<boolean> {
  const deadline = systemClock.now() + withinMs
  while (await isAlive(postmaster)) {
    if (systemClock.now() > deadline) return false
    await systemClock.sleep(POLL_MS)
  }
  return true
}

async function worksIn(pid: number, pgdata: string, uid: number): Promise<boolean> {
  const process = await stat(`/proc/${pid}`).catch(ignoreGone)
  if (process?.uid !== uid) return false
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(ignoreGone)
  const directory = await readlink(`/proc/${pid}/cwd`).catch(ignoreGone)
  return name?.trim() === 'postgres' && directory === (await realpath(pgdata).catch(ignoreMissing))
}

/** When a process began, in clock ticks since boot; undefined when it has ended, also when nobody has collected it yet. */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(ignoreGone)
  if (text === undefined) return undefined
  // The name in parentheses can hold anything; fields count from the last one. State is field 3, start time 22.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

// A process can end between two looks; those of other users are none of ours.
function ignoreGone(error: NodeJS.ErrnoException): undefined {
  if (!['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code ?? '')) throw error
}
