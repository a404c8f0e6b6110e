import { readFile } from 'node:fs/promises'
import { constants } from 'node:os'

/** Name of a signal's number; unknown ones are called SIGKILL, which is how they feel. */
export function signalName(number: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return (found?.[0] ?? 'SIGKILL') as NodeJS.Signals
}

/** To a process of the host; one that has ended meanwhile is fine. */
export function sendSignal(pid: number, signal: NodeJS.Signals | number): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Ended between our look and our signal.
  }
}

/** Is it the leader of a session with a terminal? Fields 6 and 7 of proc_pid_stat(5): session and tty_nr. */
export async function leadsTerminal(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '') // Gone.
  // The name, in parentheses, may hold anything.
  const [, , , session, tty] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  return session === pid && tty !== 0
}
