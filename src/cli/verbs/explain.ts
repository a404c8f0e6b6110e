import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import type { Format } from '../output/formats.ts'
import { withOutput } from '../output/option.ts'

export function addExplain(program: Command, invocation: Invocation): void {
  const command = program
    .command('explain')
    .description('Say what was asked of an object, what it is, why, and what happens next.')
    .argument('<kind/name...>', 'KIND/NAME or KIND NAME')
  withExamples(
    withServer(withOutput(command, ['table', 'json', 'yaml'])),
    'bothy explain environment/calm-otter',
    'bothy explain runner here',
    'bothy explain env/calm-otter -o json',
  )
  command.action(async (words: string[], options: { output: Format }) => {
    const { runExplain } = await import('./explain-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runExplain(session, invocation.deps, words, options.output),
    )
  })
}
