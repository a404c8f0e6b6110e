import { Argument, type Command } from 'commander'
import { SHELLS, type Shell } from '../completion/scripts.ts'
import { type Invocation, withExamples } from '../invocation.ts'

export function addCompletion(program: Command, invocation: Invocation): void {
  const command = program
    .command('completion')
    .description('Print the script that makes a shell complete verbs, options and names of environments.')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
  withExamples(
    command,
    'source <(bothy completion bash)           # in ~/.bashrc',
    'source <(bothy completion zsh)            # in ~/.zshrc',
    'bothy completion fish | source            # in ~/.config/fish/config.fish',
  )
  command.action(async (shell: Shell) => {
    const { completionScript } = await import('../completion/scripts.ts')
    invocation.deps.stdout.write(completionScript(shell))
  })
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: string[]) => {
      const { runComplete } = await import('./complete-run.ts')
      await runComplete(program, invocation, words)
    })
}
