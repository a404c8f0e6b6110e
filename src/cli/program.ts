// The program as a tree of verbs. Only what its help needs is loaded here: each verb loads the rest when it runs, so
// that `bothy version` starts about as fast as Node does.
import { Command, CommanderError } from 'commander'
import { Fault, isFault } from '../lib/fault.ts'
import type { Deps } from './deps.ts'
import type { AddVerb, Invocation } from './invocation.ts'
import { calledAs } from './output/called-as.ts'
import { reportFault } from './output/fault.ts'
import { describeMisuse } from './output/misuse.ts'
import { styleFor } from './output/style.ts'
import { addApply } from './verbs/apply.ts'
import { addCompletion } from './verbs/completion.ts'
import { addConfig } from './verbs/config.ts'
import { addCredential } from './verbs/credential.ts'
import { addDelete } from './verbs/delete.ts'
import { addEnv } from './verbs/env.ts'
import { addExec, addShell } from './verbs/exec.ts'
import { addExplain } from './verbs/explain.ts'
import { addGet } from './verbs/get.ts'
import { addKubeconfig } from './verbs/kubeconfig.ts'
import { addLogs } from './verbs/logs.ts'
import { addDoctor, addDown, addServer, addUp } from './verbs/processes.ts'
import { addRunner } from './verbs/runner.ts'
import { addSnapshot } from './verbs/snapshot.ts'
import { addTop } from './verbs/top.ts'
import { addVersion } from './verbs/version.ts'

const GROUPS: readonly (readonly [string, readonly AddVerb[]])[] = [
  ['Environments:', [addEnv, addSnapshot, addShell, addExec, addLogs, addTop, addExplain]],
  ['Objects of any kind:', [addGet, addApply, addDelete]],
  ['This machine:', [addUp, addDown, addDoctor, addServer, addRunner]],
  ['This program:', [addConfig, addKubeconfig, addCredential, addCompletion, addVersion]],
]

const INTRODUCTION =
  'Development environments of your own, in well under a second.\n\n' +
  "'bothy up' runs everything on this machine; 'bothy env create' makes an environment;\n" +
  "'bothy shell' enters it."

/**
 * The program, bound to its surroundings. `runProgram` runs it; tests and generated references read it. `argv` is only
 * looked at when it is wrong, to say what could have been meant.
 */
export function createProgram(
  deps: Deps,
  invocation: Invocation = { deps, exitCode: 0 },
  argv: readonly string[] = [],
): Command {
  const program = new Command('bothy')
    .description(INTRODUCTION)
    .usage('<verb> [options]')
    .enablePositionalOptions()
    .version(`bothy ${deps.version}`, '--version', 'print the version of this program')
    .addHelpCommand(
      new Command('help')
        .argument('[verb]')
        .helpOption(false)
        .helpGroup('This program:')
        .description("Explain a verb, as 'bothy VERB --help' does."),
    )
    .showHelpAfterError(false)
    .configureHelp({
      subcommandTerm: command => command.name(),
      // Descriptions have a first paragraph for lists and more for those who ask.
      subcommandDescription: command => command.description().split('\n\n')[0] ?? '',
    })
    .addHelpText('after', "\nEach verb explains itself: bothy VERB --help. Start with 'bothy up'.\n")
  program.exitOverride().configureOutput({
    writeOut: text => void deps.stdout.write(calledAs(text, deps.program)),
    writeErr: text => void deps.stderr.write(calledAs(text, deps.program)),
    outputError: text => {
      const said = describeMisuse(text, program, argv, styleFor(deps.stderr, deps.env))
      deps.stderr.write(calledAs(said, deps.program))
    },
    getOutHelpWidth: () => deps.stdout.columns ?? 100,
    getErrHelpWidth: () => deps.stderr.columns ?? 100,
  })
  for (const [heading, verbs] of GROUPS) {
    program.commandsGroup(heading)
    for (const add of verbs) add(program, invocation)
  }
  return program
}

/**
 * Runs one command line (`argv` without node and script) to its end and returns the exit code. Never throws: whatever
 * goes wrong has been said on standard error. Standard output that nobody reads any more ends it quietly, with 141 as
 * a shell reports SIGPIPE.
 */
export async function runProgram(deps: Deps, argv: readonly string[]): Promise<number> {
  const pipe = watchPipe(deps)
  const invocation: Invocation = {
    deps: { ...deps, signal: AbortSignal.any([deps.signal, pipe.signal]) },
    exitCode: 0,
  }
  let code: number
  try {
    await createProgram(invocation.deps, invocation, argv).parseAsync([...argv], { from: 'user' })
    code = invocation.exitCode
  } catch (error) {
    code = pipe.signal.aborted ? BROKEN_PIPE : exitCodeOf(error, deps)
  }
  await flushed(deps.stdout)
  pipe.ignore()
  if (!pipe.signal.aborted) return code
  const why: unknown = pipe.signal.reason
  return isFault(why) ? reportFault(why, deps) : BROKEN_PIPE
}

/** A reader that went away is noticed only when the last byte is on its way. */
function flushed(stdout: Deps['stdout']): Promise<void> {
  return new Promise(resolve => void stdout.write('', () => resolve()))
}

// 128 + SIGPIPE.
const BROKEN_PIPE = 141
const USAGE = 2

function exitCodeOf(error: unknown, deps: Deps): number {
  // Commander has said it already; help that was asked for is no error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE
  return reportFault(error, deps)
}

function watchPipe({ stdout, stderr }: Pick<Deps, 'stdout' | 'stderr'>): {
  readonly signal: AbortSignal
  ignore(): void
} {
  const broken = new AbortController()
  const onError = (error: NodeJS.ErrnoException) => {
    const fault = new Fault('unavailable', 'output-broken', `write output: ${error.message}`, {
      cause: error,
    })
    broken.abort(isBrokenPipe(error) ? undefined : fault)
  }
  stdout.on('error', onError)
  // Without a reader for complaints there is nobody to complain to.
  const ignore = () => undefined
  stderr.on('error', ignore)
  return {
    signal: broken.signal,
    ignore() {
      stdout.removeListener('error', onError)
      stderr.removeListener('error', ignore)
    },
  }
}

function isBrokenPipe(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED'
}
