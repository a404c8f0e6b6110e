import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'

export function addExec(program: Command, invocation: Invocation): void {
  const command = program
    .command('exec')
    .description(
      'Run a command in an environment.\n\n' +
        'Its exit code is this one (128 + N when signal N ended it). Standard input is handed on, ' +
        'from a terminal only with -t or -i. No shell sees the arguments.',
    )
    .argument('<environment>', 'its name')
    .argument('<command...>', 'program and arguments, after --')
    .usage('[options] <environment> -- <command...>')
    .option('-t, --tty', 'give the command a terminal')
    .option('-i, --interactive', 'hand on standard input even from a terminal')
    .option('--cwd <directory>', "absolute; default: the image's working directory")
    .option('--user <user>', "name or id, with :GROUP if wanted; default: the image's user")
  withExamples(
    withServer(command),
    'bothy exec calm-otter -- git -C /workspaces/app status',
    'tar c . | bothy exec calm-otter --cwd /tmp -- tar x',
    'bothy exec calm-otter -t -- top',
    "bothy exec calm-otter -- sh -c 'echo $HOME | tee /tmp/home'",
  )
  command.action(async (name: string, argv: string[], options: ExecFlags) => {
    const { runExec } = await import('../exec/run-exec.ts')
    const { parseEnvironment } = await import('../targets.ts')
    await withSession(invocation, connectOptions(command.opts()), async session => {
      const key = parseEnvironment(name, session.namespace)
      invocation.exitCode = await runExec(session, invocation.deps, key, {
        argv,
        cwd: options.cwd,
        user: options.user,
        tty: options.tty === true,
        interactive: options.interactive === true,
      })
    })
  })
}

interface ExecFlags {
  readonly tty?: boolean
  readonly interactive?: boolean
  readonly cwd?: string
  readonly user?: string
}

// The best shell that is there, in the folder that is its first argument, if that is there too. A constant: nothing of
// the command line ever gets into it.
const BEST_SHELL =
  'if [ -n "$1" ]; then cd -- "$1" 2>/dev/null; fi; if [ -x /bin/bash ]; then exec /bin/bash -l; fi; exec /bin/sh -l'

export function addShell(program: Command, invocation: Invocation): void {
  const command = program
    .command('shell')
    .description(
      'Open a shell in an environment, in the folder of its repository: bash where there is one, else sh.',
    )
    .argument('<environment>', 'its name')
    .option('--cwd <directory>', "absolute; default: the repository's folder")
    .option('--user <user>', "name or id, with :GROUP if wanted; default: the image's user")
  withExamples(withServer(command), 'bothy shell calm-otter', 'echo make test | bothy shell calm-otter')
  command.action(async (name: string, options: ExecFlags) => {
    const { runExec } = await import('../exec/run-exec.ts')
    const { parseEnvironment } = await import('../targets.ts')
    const { getResource } = await import('../get-resource.ts')
    const { deps } = invocation
    await withSession(invocation, connectOptions(command.opts()), async session => {
      const key = parseEnvironment(name, session.namespace)
      const { status } = await getResource(session.store, key)
      const folder = options.cwd === undefined ? workspace(status.git?.directory) : ''
      invocation.exitCode = await runExec(session, deps, key, {
        argv: ['/bin/sh', '-c', BEST_SHELL, 'sh', folder],
        cwd: options.cwd,
        user: options.user,
        tty: deps.stdin.isTTY === true,
        interactive: false,
      })
    })
  })
}

function workspace(directory: string | undefined): string {
  if (directory === undefined) return ''
  return directory.startsWith('/') ? directory : `/workspaces/${directory}`
}
