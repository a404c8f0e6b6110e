// A screen of our own that is drawn again and again, and keys that are read one by one.
import type { Deps, Input, Output } from '../deps.ts'
import { openRawTerminal, terminalSize } from '../exec/terminal.ts'

const ENTER = '\u001b[?1049h\u001b[?25l'
const LEAVE = '\u001b[?25h\u001b[?1049l'
const HOME = '\u001b[H'
const END_OF_LINE = '\u001b[K'
const BELOW = '\u001b[J'

export interface Screen {
  /** Replaces what is shown, in one piece, so that nothing flickers; what does not fit is left out below. */
  draw(text: string): void
  /** The screen is as it was before. Idempotent. */
  close(): void
}

export function openScreen(output: Output): Screen {
  let isOpen = true
  const leave = () => {
    if (!isOpen) return
    isOpen = false
    process.removeListener('exit', leave)
    output.write(LEAVE)
  }
  // For the ways out that skip `close`.
  process.once('exit', leave)
  output.write(ENTER)
  return {
    draw(text) {
      const lines = text.replace(/\n$/, '').split('\n').slice(0, terminalSize(output).rows)
      if (isOpen) output.write(HOME + lines.map(line => line + END_OF_LINE).join('\r\n') + BELOW)
    },
    close: leave,
  }
}

/** Calls `onKey` with each key until restored; ^C comes as such. Without a terminal there are no keys. */
export function readKeys(input: Input, onKey: (key: string) => void): () => void {
  if (input.isTTY !== true) return () => undefined
  const restore = openRawTerminal(input)
  const listener = (chunk: Buffer | string) => {
    for (const key of chunk.toString()) onKey(key)
  }
  input.on('data', listener)
  return () => {
    input.removeListener('data', listener)
    input.pause()
    restore()
  }
}

export function isLive({ stdout, env }: Pick<Deps, 'stdout' | 'env'>): boolean {
  return stdout.isTTY === true && env.TERM !== 'dumb'
}
