// Talks with keeper.pl: hands it a plan, hears how the steps went. The keeper goes on when we do not.
import { type ChildProcess, spawn } from 'node:child_process'
import { createConnection, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Exit } from '../../core/exec.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault } from '../../lib/fault.ts'
import { hearHelper } from './control.ts'
import type { ForkServer } from './fork-server.ts'
import { HELPER_ENV, helperPath } from './helper.ts'
import { signalName } from './signals.ts'

const KEEPER = helperPath('keeper.pl')

/** One step of a plan: see the head of keeper.pl. */
export type Step = readonly [string, ...(string | number)[]]

/** One that waits for a plan. */
export interface Keeper {
  readonly control: Duplex
  /** If it is a child of ours. */
  readonly child?: ChildProcess
}

export interface KeeperRun {
  /** Resolves when the plan is carried out, with the sandbox's pid; faults with `sandbox-start` when a step failed. */
  readonly ready: Promise<number>
  /** Of a job: how it ended. */
  readonly exit: Promise<Exit>
}

/** Text of some steps. A field with a tab or line break cannot be carried and is refused: no path of ours has one. */
export function stepsText(steps: readonly Step[]): string {
  const lines = steps.map(step => {
    const fields = step.map(String)
    if (fields.some(field => /[\t\n\0]/.test(field))) {
      throw new Fault('invalid', 'keeper-plan', `step ${fields[0]}: a field has a tab or a line break`)
    }
    return fields.join('\t')
  })
  return lines.map(line => `${line}\n`).join('')
}

export type OnStep = (step: string) => void

export function spawnKeeper(cgroupFiles: readonly string[], stdio: 'ignore' | 'pipe'): Required<Keeper> {
  const child = spawn('perl', [KEEPER, ...cgroupFiles], {
    detached: true,
    cwd: '/',
    env: HELPER_ENV,
    stdio: [stdio, stdio, stdio, 'pipe'],
  })
  child.unref()
  return { child, control: child.stdio[3] as Duplex }
}

/** The same, in a fraction of the time. */
export async function forkKeeper(server: ForkServer, cgroupFiles: readonly string[]): Promise<Keeper> {
  const [control] = (await server.call(1)) ?? []
  return control === undefined ? spawnKeeper(cgroupFiles, 'ignore') : { control }
}

/** Has a keeper carry out a plan. */
export function startKeeper({ control, child }: Keeper, steps: readonly Step[], onStep: OnStep): KeeperRun {
  let pid = 0
  let onExit: (exit: Exit) => void
  let onLost: (error: Error) => void
  const exit = new Promise<Exit>((resolve, reject) => {
    onExit = resolve
    onLost = reject
  })
  exit.catch(() => undefined) // A sandbox's keeper is not asked for it.
  const ready = new Promise<number>((resolve, reject) => {
    const fail = (message: string, cause?: unknown) => {
      const fault = new Fault('internal', 'sandbox-start', `start the sandbox: ${message}`, { cause })
      reject(fault)
      onLost(fault)
    }
    child?.once('error', cause => fail(cause.message, cause))
    hearHelper(
      control,
      (word, fields) => {
        if (word === 'done') onStep(fields[0] ?? '')
        else if (word === 'pid') pid = Number(fields[0])
        else if (word === 'ready') resolve(pid)
        else if (word === 'failed') fail(fields.join(' '))
        else if (word === 'exit') onExit(parseExit(fields[0], fields[1]))
      },
      () => fail('the keeper ended without a word'),
    )
  })
  failpoint('linux.keeper-spawned')
  control.write(`${stepsText(steps)}go\n`)
  failpoint('linux.keeper-planned')
  return { ready, exit }
}

/** From `code N` or `signal N`. */
export function parseExit(kind: string | undefined, value: string | undefined): Exit {
  return kind === 'signal' ? { signal: signalName(Number(value)) } : { code: Number(value ?? -1) }
}

/** Connects to a keeper that stays; undefined when there is none. The socket closes when its sandbox has ended. */
export function watchKeeper(path: string): Promise<Socket | undefined> {
  return new Promise(resolve => {
    const socket = createConnection(path)
    socket.once('connect', () => resolve(socket))
    socket.once('error', () => resolve(undefined)) // No file or nobody listening: no keeper.
  })
}
