import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Sandbox } from '../../core/driver.ts'
import type { Exec, ExecRequest, Exit } from '../../core/exec.ts'
import type { Clock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { execHere } from './exec.ts'
import { environmentOf, type Place, relocate } from './place.ts'
import { endMarked, isAlive, type ProcessId, SANDBOX_VARIABLE } from './processes.ts'

/** What is written down beside the disk about the sandbox that runs. */
export interface SandboxRecord {
  readonly epoch: number
  readonly init: ProcessId
  readonly env: Readonly<Record<string, string>>
}

/** A sandbox as seen by one instance of the driver. `ended` is how its first process ended, where that can be known. */
export function createSandbox(
  place: Place,
  record: SandboxRecord,
  ended: () => Promise<Exit>,
  clock: Clock,
): Sandbox {
  const gone = (what: string) =>
    new Fault('unavailable', 'sandbox-gone', `${what} in sandbox ${place.id}: it is not running`, {
      hint: 'start the environment first',
    })

  const exec: Exec = async (request: ExecRequest, signal) => {
    if (!isAlive(record.init)) throw gone(`run ${request.argv[0]}`)
    if (request.user !== undefined && !['root', '0', '0:0'].includes(request.user)) {
      throw new Fault(
        'unsupported',
        'user-unsupported',
        `run as ${request.user}: the fake driver has one user`,
      )
    }
    const env = { ...environmentOf(place, record.epoch), ...record.env, ...request.env }
    const move = (text: string) => relocate(text, place)
    return execHere(
      {
        argv: request.argv.map(move),
        cwd: move(request.cwd ?? '/workspaces'),
        env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, move(value)])),
        ...(request.tty === undefined ? {} : { tty: request.tty }),
      },
      signal,
    )
  }

  return {
    id: place.id,
    epoch: record.epoch,
    exec,
    dial: async (port, signal): Promise<Duplex> => {
      if (!isAlive(record.init)) throw gone(`dial port ${port}`)
      return new Promise((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port, signal })
        socket.once('connect', () => resolve(socket))
        socket.once('error', cause => {
          if (signal.aborted)
            return reject(new Fault('cancelled', 'dial-cancelled', `dial port ${port}: cancelled`))
          reject(new Fault('unavailable', 'port-closed', `dial port ${port}: nothing listens`, { cause }))
        })
      })
    },
    stop: async graceMs => {
      await endMarked(SANDBOX_VARIABLE, value => value === `${place.root}#${record.epoch}`, graceMs, clock)
    },
    get ended() {
      return ended()
    },
  }
}
