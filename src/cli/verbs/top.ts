import { type Command, Option } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import type { Format } from '../output/formats.ts'
import { withOutput } from '../output/option.ts'
import { SORTS, type Sort } from '../top/sort.ts'

export interface TopOptions {
  readonly output: Format
  readonly sort: Sort
  readonly once?: boolean
  readonly allNamespaces?: boolean
}

export function addTop(program: Command, invocation: Invocation): void {
  const command = program
    .command('top')
    .description(
      'Show what environments use now, and what is done about it.\n\n' +
        'On a terminal the table is drawn anew every two seconds: q or ^C ends it; c, m, i, n and a sort by\n' +
        'CPU, memory, IO, network and name. Elsewhere, and with --once, it is printed once.\n\n' +
        'CPU        processors kept busy; the bar is full when the host is\n' +
        'SESSION    those of them by what people look at: shells, editors, language servers\n' +
        'THROTTLED  share of the time that a ceiling held it up\n' +
        'PRESSURE   share of the time that something in it waited for a processor\n' +
        'MEMORY     resident, of its ceiling\n' +
        'IO         bytes read and written a second, from and to its disk\n' +
        'NETWORK    bytes received and sent a second\n' +
        'GOVERNOR   what was last done about it, by which governor, and why',
    )
    .argument('[environment...]', 'only these')
    .option('-A, --all-namespaces', 'of every namespace that you may see')
    .addOption(
      new Option('--sort <column>', 'largest first; names in their order').choices(SORTS).default(SORTS[0]),
    )
    .option('--once', 'print the table once, also on a terminal')
  withExamples(
    withServer(withOutput(command, ['table', 'wide', 'json', 'yaml'])),
    'bothy top',
    'bothy top calm-otter',
    'bothy top --sort memory --once',
    'bothy top -o json',
  )
  command.action(async (words: string[], options: TopOptions) => {
    const { runTop } = await import('./top-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runTop(session, invocation.deps, words, options),
    )
  })
}
