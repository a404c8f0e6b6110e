import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'

export interface DeleteOptions {
  readonly filename?: readonly string[]
  readonly ignoreNotFound?: boolean
  readonly wait: boolean
}

export function addDelete(program: Command, invocation: Invocation): void {
  const command = program
    .command('delete')
    .description('Delete objects of any kind, and wait until they are gone.')
    .argument('[kind...]', 'KIND NAME… or KIND/NAME…')
    .usage('[options] [kind] [name...]')
    .option('-f, --filename <file...>', "what these files name; '-' is standard input")
    .option('--ignore-not-found', 'what is gone already is no error')
    .option('--no-wait', 'return as soon as it is asked for')
  withExamples(
    withServer(command),
    'bothy delete environment calm-otter',
    'bothy delete environment/a environment/b --no-wait',
    'bothy delete -f environment.yaml',
  )
  command.action(async (words: string[], options: DeleteOptions) => {
    const { runDelete } = await import('./delete-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runDelete(session, invocation.deps, words, options),
    )
  })
}
