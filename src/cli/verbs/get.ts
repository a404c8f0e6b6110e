import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import type { Format } from '../output/formats.ts'
import { withOutput } from '../output/option.ts'

export interface GetOptions {
  readonly output: Format
  readonly allNamespaces?: boolean
  readonly selector?: string
  readonly fieldSelector?: string
  readonly watch?: boolean
  readonly showManagedFields?: boolean
}

export function addGet(program: Command, invocation: Invocation): void {
  const command = program
    .command('get')
    .description('Show objects of any kind.')
    .argument('<kind...>', 'KIND, KIND NAME… or KIND/NAME…')
    .usage('[options] <kind> [name...]')
    .option('-A, --all-namespaces', 'of every namespace that you may see')
    .option('-l, --selector <labels>', 'only with these labels: KEY=VALUE,…')
    .option('--field-selector <fields>', 'only with these fields: spec.runner=here,…')
    .option('-w, --watch', 'go on and show every change')
    .option('--show-managed-fields', 'in JSON and YAML, also say who set which field')
  withExamples(
    withServer(withOutput(command)),
    'bothy get environments',
    'bothy get runners -o wide',
    'bothy get environment/calm-otter -o yaml',
    'bothy get envs --field-selector status.phase=Running -o name',
    'bothy get env calm-otter --watch',
  )
  command.action(async (words: string[], options: GetOptions) => {
    const { runGet } = await import('./get-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runGet(session, invocation.deps, words, options),
    )
  })
}
