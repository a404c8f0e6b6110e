import type { Readable, Writable } from 'node:stream'

/** A program at work in a machine, with a terminal. */
export interface Terminal {
  readonly input: Writable
  readonly output: Readable
}

/** One environment, container, or whatever is compared. */
export interface Machine {
  /** Starts a program with a terminal, as a person would: through the front door. */
  open(argv: readonly string[]): Promise<Terminal>
}

/** Somebody who runs machines. */
export interface Contestant {
  readonly name: string
  /** `index` 0 is the one that a person works in. All are there from the beginning, and idle. */
  readonly machines: readonly Machine[]
  close(): Promise<void>
}

/** Runs a program to its end and returns what it said. */
export async function runIn(machine: Machine, argv: readonly string[]): Promise<string> {
  const { output } = await machine.open(argv)
  let said = ''
  for await (const chunk of output) said += String(chunk)
  return said
}
