import { constants } from 'node:os'

/** Name of a signal's number; unknown ones are called SIGKILL, which is how they feel. */
export function signalName(number: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return (found?.[0] ?? 'SIGKILL') as NodeJS.Signals
}
