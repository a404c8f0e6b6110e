import type { TtySize } from '../../core/exec.ts'
import type { Input, Output } from '../deps.ts'

/** Undoes what was set up; calling it again does nothing. */
export type Restore = () => void

// What a terminal is taken to be when it does not say (pipes, some CI systems).
const DEFAULT_SIZE: TtySize = { columns: 80, rows: 24 }

export function terminalSize(output: Output): TtySize {
  const { columns, rows } = output
  return columns !== undefined && rows !== undefined && columns > 0 && rows > 0
    ? { columns, rows }
    : DEFAULT_SIZE
}

/**
 * Raw mode until restored: keys go to the program inside one by one, ^C among them. Ended in every way out: by
 * `Restore`, and at the exit of the process for the ways that skip it.
 */
export function openRawTerminal(input: Input): Restore {
  const leave = () => {
    process.removeListener('exit', leave)
    input.setRawMode?.(false)
  }
  input.setRawMode?.(true)
  process.once('exit', leave)
  return leave
}

/** Calls `onSize` each time the window changes its size, until restored. */
export function watchSize(output: Output, onSize: (size: TtySize) => void): Restore {
  const listener = () => onSize(terminalSize(output))
  output.on('resize', listener)
  return () => void output.removeListener('resize', listener)
}
