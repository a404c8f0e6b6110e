import type { Command } from 'commander'
import { type Invocation, withExamples } from '../invocation.ts'

export function addConfig(program: Command, invocation: Invocation): void {
  const config = program
    .command('config')
    .description(
      'Choose which server is talked to.\n\n' +
        'Contexts live in $XDG_CONFIG_HOME/bothy/config.yaml (default ~/.config); BOTHY_SERVER, BOTHY_TOKEN ' +
        'and BOTHY_CA (a file) override them.',
    )
    .enablePositionalOptions()
  withExamples(config, 'bothy config get-contexts', 'bothy config use-context work')
  const { deps } = invocation
  config
    .command('get-contexts')
    .description('List the contexts.')
    .action(async () => (await import('./config-run.ts')).listContexts(deps))
  config
    .command('current-context')
    .description('Print the name of the context in use.')
    .action(async () => (await import('./config-run.ts')).printCurrent(deps))
  config
    .command('use-context')
    .description('Use another context from now on.')
    .argument('<context>', 'its name')
    .action(async (name: string) => (await import('./config-run.ts')).useContext(deps, name))
}
