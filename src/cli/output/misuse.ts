// What commander says of a command line that cannot be, in the form of all other errors, and with a hint.
import type { Command } from 'commander'
import type { Style } from './style.ts'
import { oneLine } from './text.ts'

// What other programs call the same.
const SYNONYMS: Readonly<Record<string, string>> = {
  describe: 'explain',
  enter: 'shell',
  new: 'env create',
  ps: 'env list',
  rm: 'env delete',
  ssh: 'shell',
}

/** `said` is commander's message; `argv` what was written. Ends with a line feed. */
export function describeMisuse(
  said: string,
  program: Command,
  argv: readonly string[],
  style: Style,
): string {
  const [headline = '', ...rest] = said.trimEnd().split('\n')
  const message = oneLine(headline.replace(/^error: /, ''))
  return `${style.red('error:')} ${message}\n  hint: ${hintFor(message, rest.join(' '), program, argv)}\n`
}

function hintFor(message: string, suggestion: string, program: Command, argv: readonly string[]): string {
  const { command, path } = findCommand(program, argv)
  const unknown = /^unknown command '(.*)'$/.exec(message)?.[1]
  if (unknown !== undefined && command === program) {
    const meant = SYNONYMS[unknown] ?? nestedCommand(program, unknown)
    if (meant !== undefined) return `did you mean 'bothy ${meant}'?`
  }
  const similar = /^\(Did you mean (?:one of )?(.+)\?\)$/.exec(suggestion)?.[1]
  if (similar !== undefined) return `did you mean ${similar.replaceAll(', ', ' or ')}?`
  const help = `bothy ${[...path, '--help'].join(' ')}`
  return `${help} ${unknown === undefined ? 'shows how it is written, with examples' : 'lists what there is'}`
}

/** The deepest verb that the words name. */
function findCommand(program: Command, argv: readonly string[]): { command: Command; path: string[] } {
  let command = program
  const path: string[] = []
  for (const word of argv) {
    const next = command.commands.find(each => each.name() === word || each.aliases().includes(word))
    if (next === undefined) break
    command = next
    path.push(next.name())
  }
  return { command, path }
}

/** `stop` is `env stop`: the verb's group was forgotten. */
function nestedCommand(program: Command, word: string): string | undefined {
  for (const group of program.commands) {
    const inner = group.commands.find(each => each.name() === word || each.aliases().includes(word))
    if (inner !== undefined) return `${group.name()} ${inner.name()}`
  }
  return undefined
}
