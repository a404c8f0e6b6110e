import { type Logger, pino } from 'pino'

export type Log = Logger

/**
 * One JSON line per entry on standard error, or a line for people when that is a terminal; standard output belongs to
 * results. Messages are constant, data goes into fields. Fields that can hold a secret are redacted by name, wherever they stand.
 */
export function createLog(
  options: { level?: string; name?: string } = {},
  isTerminal: boolean = process.stderr.isTTY === true,
): Log {
  return pino(
    {
      level: options.level ?? 'info',
      ...(options.name === undefined ? {} : { name: options.name }),
      redact: {
        paths: [
          'token',
          'password',
          'authorization',
          '*.token',
          '*.password',
          '*.authorization',
          '*.*.token',
        ],
        censor: '[redacted]',
      },
    },
    isTerminal
      ? { write: line => void process.stderr.write(humanLine(line)) }
      : pino.destination({ dest: 2, sync: true }),
  )
}

export const silentLog: Log = pino({ level: 'silent' })

const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warning',
  50: 'error',
  60: 'fatal',
}
// Of every entry, and of no interest to whoever looks at one process.
const COMMON = new Set(['level', 'time', 'pid', 'hostname', 'name', 'msg'])

/** `warning: runner: start failed (object: environment default/hello, message: …)`, from an entry as JSON. */
export function humanLine(json: string): string {
  const entry = JSON.parse(json) as Record<string, unknown>
  const details = Object.entries(entry)
    .filter(([name]) => !COMMON.has(name))
    .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
  const head = [LEVELS[Number(entry['level'])] ?? 'log', entry['name'], entry['msg']].filter(
    part => part !== undefined,
  )
  const text = `${head.join(': ')}${details.length === 0 ? '' : ` (${details.join(', ')})`}`
  // What is logged may come from anywhere: a terminal gets no control characters of others.
  return `${text.replace(/\p{Cc}+/gu, ' ')}\n`
}
