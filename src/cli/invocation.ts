// What all verbs share: where they run, what they answer with, and how they get at a server.
import type { Command } from 'commander'
import type { ConnectOptions, Deps, Session } from './deps.ts'

/** One run of the program. */
export interface Invocation {
  readonly deps: Deps
  /** What the process ends with, unless a fault decides otherwise. */
  exitCode: number
}

/** Adds one verb, or a group of them, to the program. */
export type AddVerb = (program: Command, invocation: Invocation) => void

/** Opens a session for as long as `work` takes. */
export async function withSession<T>(
  { deps }: Invocation,
  options: ConnectOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await deps.connect(options)
  try {
    return await work(session)
  } finally {
    await session.close()
  }
}

/** The options of every verb that talks to a server. */
export function withServer(command: Command): Command {
  return command
    .option('-n, --namespace <namespace>', "namespace; default: the context's")
    .option('--context <context>', 'which server, by its name in the contexts file')
}

export function connectOptions(options: { namespace?: string; context?: string }): ConnectOptions {
  const { namespace, context } = options
  return { ...(namespace === undefined ? {} : { namespace }), ...(context === undefined ? {} : { context }) }
}

/** `examples` below the options: each line a command, with what it does after two spaces and a #. */
export function withExamples(command: Command, ...examples: readonly string[]): Command {
  const lines = examples.map(example => `  $ ${example}`).join('\n')
  return command.addHelpText('after', `\nExamples:\n${lines}\n`)
}
