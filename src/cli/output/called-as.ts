import type { ProgramName } from '../deps.ts'

/** `text` with the commands in it as they have to be typed: `bothy shell x` is `kubectl bothy shell x` to some. */
export function calledAs(text: string, program: ProgramName): string {
  if (program === 'bothy') return text
  // The word alone, as a command with something after it: no path, no domain, not spelt out already.
  return text.replace(/(?<![\w./-]|kubectl )bothy(?= +[\w<[.-])/g, program)
}
