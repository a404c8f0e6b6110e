import { type Logger, pino } from 'pino'

export type Log = Logger

/**
 * One JSON line per entry on standard error; standard output belongs to results. Messages are constant, data goes into
 * fields. Fields that can hold a secret are redacted by name, wherever they stand.
 */
export function createLog(options: { level?: string; name?: string } = {}): Log {
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
    pino.destination({ dest: 2, sync: true }),
  )
}

export const silentLog: Log = pino({ level: 'silent' })
