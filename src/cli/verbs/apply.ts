import { type Command, Option } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import type { Format } from '../output/formats.ts'
import { withOutput } from '../output/option.ts'

export interface ApplyOptions {
  readonly filename: readonly string[]
  readonly forceConflicts?: boolean
  readonly fieldManager: string
  readonly output: Format
}

export function addApply(program: Command, invocation: Invocation): void {
  const command = program
    .command('apply')
    .description(
      'Create or change objects so that they are as files say.\n\n' +
        'What a file does not mention stays as it is; what it no longer mentions is removed. A field that another ' +
        'program or another file has set to something else is a conflict. (kubectl calls this server-side apply.)',
    )
    .requiredOption(
      '-f, --filename <file...>',
      "YAML or JSON, several documents if wanted; '-' is standard input",
    )
    .option('--force-conflicts', 'take over fields that others have set')
    .option('--field-manager <name>', 'in whose name the fields are set', 'bothy-apply')
    // As kubectl spells what is always so here.
    .addOption(new Option('--server-side').hideHelp())
  withExamples(
    withServer(withOutput(command, ['table', 'name', 'json', 'yaml'])),
    'bothy apply -f environment.yaml',
    'generate | bothy apply -f - --field-manager generator',
    'bothy apply -f environment.yaml --force-conflicts',
  )
  command.action(async (options: ApplyOptions) => {
    const { runApply } = await import('./apply-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runApply(session, invocation.deps, options),
    )
  })
}
