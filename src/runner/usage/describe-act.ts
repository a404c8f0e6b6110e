// What a governor did, in words for people.
import type { Act } from '../../core/governor/act.ts'

const MIB = 2 ** 20

export function describeAct(act: Act): string {
  switch (act.kind) {
    case 'cpu': {
      const { weight, workCores, cores } = act.limits
      return said(
        `weight ${Math.round(weight)}`,
        workCores === undefined ? '' : `work at most ${coresText(workCores)}`,
        cores === undefined ? '' : `at most ${coresText(cores)}`,
      )
    }
    case 'io': {
      const { weight, readBytesPerSecond, writeBytesPerSecond } = act.limits
      const limits = said(
        weight === undefined ? '' : `weight ${Math.round(weight)}`,
        readBytesPerSecond === undefined ? '' : `reads at most ${mib(readBytesPerSecond)}/s`,
        writeBytesPerSecond === undefined ? '' : `writes at most ${mib(writeBytesPerSecond)}/s`,
      )
      return limits === '' ? 'no limit' : limits
    }
    case 'move':
      return `a job moved to ${act.to}`
    case 'memory': {
      const { protectedBytes, limitBytes } = act
      const changed = said(
        protectedBytes === undefined ? '' : `${mib(protectedBytes)} protected`,
        limitBytes === undefined ? '' : `at most ${mib(limitBytes)}`,
      )
      return changed === '' ? 'no protection' : changed
    }
    case 'reclaim':
      return `${mib(act.bytes)} pushed out`
    case 'freeze':
      return act.frozen ? 'frozen' : 'thawed'
    case 'hold-killer':
      return act.held ? "the kernel's killer held back" : "the kernel's killer let go"
    case 'kill':
      return `process ${act.pid} killed`
  }
}

const said = (...parts: readonly string[]): string => parts.filter(part => part !== '').join(', ')
const coresText = (cores: number): string => `${Math.round(cores * 100) / 100} cores`
const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`
