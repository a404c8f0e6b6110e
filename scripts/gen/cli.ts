import type { Command } from 'commander'
import type { Deps } from '../../src/cli/deps.ts'
import { createProgram } from '../../src/cli/program.ts'

const COLUMNS = 110

/** Every verb with its help, as the program itself prints it. */
export function cliPage(): string {
  let printed = ''
  const stdout = {
    columns: COLUMNS,
    write(text: string) {
      printed += text
    },
  }
  // Building the program and asking for help touches nothing else of the world.
  const program = createProgram({
    stdout,
    stderr: stdout,
    env: {},
    version: '',
    program: 'bothy',
  } as unknown as Deps)
  const help = (command: Command): string => {
    printed = ''
    command.outputHelp()
    return printed.trimEnd()
  }
  const describe = (command: Command, parents: readonly string[]): string[] => {
    const path = [...parents, command.name()]
    const visible = command.createHelp().visibleCommands(command)
    return [
      `## ${path.join(' ')}`,
      `\`\`\`text\n${help(command)}\n\`\`\``,
      ...visible.filter(each => each.name() !== 'help').flatMap(each => describe(each, path)),
    ]
  }
  return ['# Command line', 'As `bothy VERB --help` prints it.', ...describe(program, [])].join('\n\n')
}
