import type { TtySize } from '../../core/exec.ts'
import type { Input, Output } from '../deps.ts'

// What a terminal is taken to be when it does not say (pipes, some CI systems).
const DEFAULT_SIZE: TtySize = { columns: 80, rows: 24 }

export function terminalSize(output: Output): TtySize {
  const { columns, rows } = output
  return columns !== undefined && rows !== undefined && columns > 0 && rows > 0
    ? { columns, rows }
    : DEFAULT_SIZE
}

/**
 * Raw mode until disposed: keys go to the program inside one by one, ^C among them. Ended in every way out: disposal,
 * and the exit of the process for the ways that skip it.
 */
export function openRawTerminal(input: Input): Disposable {
  const leave = () => {
    process.removeListener('exit', leave)
    input.setRawMode?.(false)
  }
  input.setRawMode?.(true)
  process.once('exit', leave)
  return { [Symbol.dispose]: leave }
}

/** Calls `onSize` each time the window changes its size, until disposed. */
export function watchSize(output: Output, onSize: (size: TtySize) => void): Disposable {
  const listener = () => onSize(terminalSize(output))
  output.on('resize', listener)
  return { [Symbol.dispose]: () => void output.removeListener('resize', listener) }
}
