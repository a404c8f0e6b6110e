import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import type { Format } from '../output/formats.ts'
import { withOutput } from '../output/option.ts'

export function addApply(program: Command, invocation: Invocation): void {
  const command = program
    .command('apply')
    .description(
      'Create or change objects so that they are as files say.\n\n' +
        'What a file does not mention stays as it is; what it no longer mentions is removed.',
    )
    .requiredOption(
      '-f, --filename <file...>',
      "YAML or JSON, several documents if wanted; '-' is standard input",
    )
  withExamples(
    withServer(withOutput(command, ['table', 'name', 'json', 'yaml'])),
    'bothy apply -f environment.yaml',
    'generate | bothy apply -f -',
  )
  command.action(async (options: { filename: string[]; output: Format }) => {
    const { runApply } = await import('./apply-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runApply(session, invocation.deps, options.filename, options.output),
    )
  })
}
