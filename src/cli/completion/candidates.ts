// What could stand where the cursor is, from the program itself: verbs, options, their values, kinds, names.
import type { Command, Option } from 'commander'

export type Candidates =
  /** Words that are known here and now. */
  | { readonly kind: 'words'; readonly words: readonly string[] }
  /** Names of objects, which only the server knows; `prefix` goes in front of each. */
  | { readonly kind: 'names'; readonly of: string; readonly prefix: string }
  | { readonly kind: 'kinds' }
  /** Whatever the shell offers by itself. */
  | { readonly kind: 'files' }

const words = (list: readonly string[]): Candidates => ({ kind: 'words', words: list })
const NOTHING = words([])

/** `line` is what stands before the cursor, without the program's own name; its last word is the one being typed. */
export function findCandidates(program: Command, line: readonly string[]): Candidates {
  const typed = line.at(-1) ?? ''
  let command = program
  const operands: string[] = []
  let awaiting: Option | undefined
  for (const word of line.slice(0, -1)) {
    if (awaiting !== undefined) {
      awaiting = undefined
      continue
    }
    if (word === '--') return NOTHING
    if (word.startsWith('-')) {
      const option = findOption(command, word)
      if (option !== undefined && takesValue(option) && !word.includes('=')) awaiting = option
      continue
    }
    const next = operands.length === 0 ? findCommand(command, word) : undefined
    if (next === undefined) operands.push(word)
    else command = next
  }
  if (awaiting !== undefined) return optionValues(awaiting)
  if (typed.startsWith('-'))
    return words(visibleOptions(command).flatMap(option => option.long ?? option.short ?? []))
  if (command.commands.length > 0 && operands.length === 0) return words(visibleCommands(command))
  return argumentValues(command, operands, typed)
}

function argumentValues(command: Command, operands: readonly string[], typed: string): Candidates {
  const declared = command.registeredArguments
  const argument =
    declared[operands.length] ?? (declared.at(-1)?.variadic === true ? declared.at(-1) : undefined)
  if (argument === undefined) return NOTHING
  if (argument.argChoices !== undefined) return words(argument.argChoices)
  switch (argument.name()) {
    case 'environment':
      return { kind: 'names', of: 'environment', prefix: '' }
    case 'snapshot':
      return { kind: 'names', of: 'snapshot', prefix: '' }
    case 'runner':
      return { kind: 'names', of: 'runner', prefix: '' }
    case 'kind':
    case 'kind/name':
      return objectValues(operands, typed)
    case 'source':
      return { kind: 'files' }
    default:
      return NOTHING
  }
}

function objectValues(operands: readonly string[], typed: string): Candidates {
  const slash = typed.indexOf('/')
  if (slash !== -1) return { kind: 'names', of: typed.slice(0, slash), prefix: typed.slice(0, slash + 1) }
  const [first] = operands
  if (first === undefined || first.includes('/')) return { kind: 'kinds' }
  return { kind: 'names', of: first, prefix: '' }
}

function optionValues(option: Option): Candidates {
  if (option.argChoices !== undefined) return words(option.argChoices)
  if (option.long === '--class') return { kind: 'names', of: 'environmentclass', prefix: '' }
  return /file|directory/.test(option.flags) ? { kind: 'files' } : NOTHING
}

function takesValue(option: Option): boolean {
  return option.required || option.optional
}

function findOption(command: Command, word: string): Option | undefined {
  const name = word.split('=')[0]
  return command.options.find(option => option.long === name || option.short === name)
}

function findCommand(command: Command, word: string): Command | undefined {
  return command.commands.find(each => each.name() === word || each.aliases().includes(word))
}

function visibleCommands(command: Command): string[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map(each => each.name())
}

function visibleOptions(command: Command): Option[] {
  return command.createHelp().visibleOptions(command)
}
