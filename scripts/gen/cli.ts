import { existsSync } from 'node:fs'
import type { Command } from 'commander'

const PROGRAM = new URL('../../src/cli/program.ts', import.meta.url)

/** Every verb with its help, as the program itself prints it; undefined while there is no program. */
export async function cliPage(): Promise<string | undefined> {
  if (!existsSync(PROGRAM)) return undefined
  const { createProgram } = (await import(PROGRAM.href)) as { createProgram: (deps: unknown) => Command }
  const sections = describeCommand(createProgram({}), [])
  return ['# Command line', 'As `bothy VERB --help` prints it.', ...sections].join('\n\n')
}

function describeCommand(command: Command, parents: readonly string[]): string[] {
  const path = [...parents, command.name()]
  command.configureHelp({ helpWidth: 110 })
  const own = [`## ${path.join(' ')}`, `\`\`\`\n${command.helpInformation().trimEnd()}\n\`\`\``]
  const visible = command.commands.filter(each => each.name() !== 'help' && !isHidden(each))
  return [...own, ...visible.flatMap(each => describeCommand(each, path))]
}

function isHidden(command: Command): boolean {
  return (command as Command & { _hidden?: boolean })._hidden === true
}
