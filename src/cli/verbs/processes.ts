// The verbs that are processes: what they are asked for; `src/main` does it.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Address, Deps } from '../deps.ts'
import { type Invocation, withExamples } from '../invocation.ts'

interface Flags {
  readonly data?: string
  readonly listen?: string
}

export function addUp(program: Command, invocation: Invocation): void {
  const command = program
    .command('up')
    .description(
      'Run server and runner on this machine, in the foreground.\n\n' +
        'The first start makes what is needed, and a context for this command line. Ending it (^C) leaves ' +
        "environments running; 'bothy down' stops them too.",
    )
    .argument('[source]', 'GIT_URL or FOLDER to make a first environment from')
    .option(
      '--listen <address>',
      'IP:PORT of the API; default: as last time, at first port 7766 or the next free one',
    )
    .option(
      '--dev',
      'throw-away data (not in --data) and sandboxes that are plain processes: for working on Bothy itself',
    )
    .option('--hello', 'make a first environment, from the example that comes along')
  withExamples(
    withData(command),
    'bothy up',
    'bothy up https://git.example.com/team/app.git',
    'bothy up --data /srv/bothy',
  )
  command.action(async (source: string | undefined, options: Flags & { dev?: boolean; hello?: boolean }) => {
    const { deps } = invocation
    const first = source !== undefined ? { source } : options.hello === true ? 'hello' : undefined
    await deps.up({
      ...(await common(deps, options)),
      ...(await listen(options)),
      dev: options.dev === true,
      ...(first === undefined ? {} : { first }),
    })
  })
}

export function addDown(program: Command, invocation: Invocation): void {
  const command = program
    .command('down')
    .description("Stop this machine's environments, then runner, server and database. Disks are kept.")
    .option('--all', 'also remove what was made on the host (mounts, network rules, slots); data stays')
  withExamples(withData(command), 'bothy down', 'bothy down --all')
  command.action(async (options: Flags & { all?: boolean }) => {
    await invocation.deps.down({ ...(await common(invocation.deps, options)), all: options.all === true })
  })
}

export function addServer(program: Command, invocation: Invocation): void {
  const command = program
    .command('server')
    .description(
      'Run the control plane alone: API and controllers.\n\n' +
        'The database is the embedded one, or the PostgreSQL that BOTHY_DATABASE_URL names.',
    )
    .option(
      '--listen <address>',
      'IP:PORT of the API; default: as last time, at first port 7766 or the next free one',
    )
  withExamples(withData(command), 'bothy server --listen 0.0.0.0:7443')
  command.action(async (options: Flags) => {
    await invocation.deps.server({ ...(await common(invocation.deps, options)), ...(await listen(options)) })
  })
}

export function addDoctor(program: Command, invocation: Invocation): void {
  const command = program
    .command('doctor')
    .description(
      'Check what this machine has and lacks for running environments, and say what to do about it.',
    )
    .option('-o, --output <format>', 'table or json', 'table')
  withExamples(withData(command), 'bothy doctor', 'bothy doctor -o json')
  command.action(async (options: Flags & { output: string }) => {
    const { runDoctor } = await import('./doctor-run.ts')
    invocation.exitCode = await runDoctor(
      invocation.deps,
      await common(invocation.deps, options),
      options.output,
    )
  })
}

export function withData(command: Command): Command {
  return command.option(
    '--data <directory>',
    'where everything is kept; default: BOTHY_DATA_DIR, else /var/lib/bothy for root and ~/.local/share/bothy for others',
  )
}

export async function common(deps: Deps, options: Flags): Promise<{ signal: AbortSignal; dataDir: string }> {
  const given = options.data ?? deps.env.BOTHY_DATA_DIR
  const { defaultDataDir } = await import('../config/paths.ts')
  const dataDir =
    given === undefined || given === '' ? defaultDataDir(deps.env, deps.isRoot) : resolve(deps.cwd, given)
  return { signal: deps.signal, dataDir }
}

async function listen(options: Flags): Promise<{ listen?: Address }> {
  if (options.listen === undefined) return {}
  const { parseAddress } = await import('../address.ts')
  return { listen: parseAddress(options.listen) }
}
