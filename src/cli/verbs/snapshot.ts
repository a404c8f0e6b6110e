import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import type { Format } from '../output/formats.ts'
import { withOutput } from '../output/option.ts'

export interface SnapshotOptions {
  readonly name?: string
  readonly wait: boolean
  readonly output: Format
}

export function addSnapshot(program: Command, invocation: Invocation): void {
  const snapshot = program
    .command('snapshot')
    .description('Keep what environments hold, and make others of it.')
    .enablePositionalOptions()
  withExamples(
    snapshot,
    'bothy snapshot create calm-otter --name before-upgrade',
    'bothy env create --snapshot before-upgrade',
    'bothy snapshot list',
  )
  addCreate(snapshot, invocation)
  addList(snapshot, invocation)
  addDelete(snapshot, invocation)
}

function addCreate(snapshot: Command, invocation: Invocation): void {
  const command = snapshot
    .command('create')
    .description(
      'Keep what the disk of an environment holds now.\n\n' +
        'The environment may run, and goes on. A snapshot outlives it, and takes room only for what changes afterwards.',
    )
    .argument('<environment>', 'what to keep')
    .option('--name <name>', "default: the environment's, and some random letters")
    .option('--no-wait', 'return as soon as it is declared')
  withExamples(
    withServer(withOutput(command)),
    'bothy snapshot create calm-otter',
    'bothy snapshot create calm-otter --name before-upgrade -o name',
  )
  command.action(async (environment: string, options: SnapshotOptions) => {
    const { runCreateSnapshot } = await import('./snapshot-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runCreateSnapshot(session, invocation.deps, environment, options),
    )
  })
}

function addList(snapshot: Command, invocation: Invocation): void {
  const command = snapshot.command('list').alias('ls').description('List the snapshots of the namespace.')
  withExamples(withServer(withOutput(command)), 'bothy snapshot list', 'bothy snapshot list -o wide')
  command.action(async (options: { output: Format }) => {
    const { runListSnapshots } = await import('./snapshot-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runListSnapshots(session, invocation.deps, options.output),
    )
  })
}

function addDelete(snapshot: Command, invocation: Invocation): void {
  const command = snapshot
    .command('delete')
    .description('Delete snapshots; environments that were made of them stay.')
    .argument('<snapshot...>', 'names')
    .option('--no-wait', 'return as soon as it is asked for')
  withExamples(withServer(command), 'bothy snapshot delete before-upgrade')
  command.action(async (names: string[], options: { wait: boolean }) => {
    const { runDelete } = await import('./delete-run.ts')
    const words = names.map(name => (name.includes('/') ? name : `snapshot/${name}`))
    await withSession(invocation, connectOptions(command.opts()), session =>
      runDelete(session, invocation.deps, words, options),
    )
  })
}
