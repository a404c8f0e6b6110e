import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import { common, withData } from './processes.ts'

export function addRunner(program: Command, invocation: Invocation): void {
  const runner = program
    .command('runner')
    .description('Run environments on this machine for a server elsewhere. A runner dials out only.')
    .enablePositionalOptions()
  withExamples(
    runner,
    'bothy runner token rack-1 > token          # where you are an administrator',
    'bothy runner enroll --token-file token     # once, on the machine',
    'bothy runner run                           # from then on',
  )
  addToken(runner, invocation)
  addEnroll(runner, invocation)
  addRun(runner, invocation)
}

function addToken(runner: Command, invocation: Invocation): void {
  const command = runner
    .command('token')
    .description(
      'Print a one-time token that enrols one machine as a runner, good for 24 hours. Makes the Runner object.',
    )
    .argument('<runner>', 'its name')
  withExamples(withServer(command), 'bothy runner token rack-1 | ssh rack-1 bothy runner enroll')
  command.action(async (name: string) => {
    const { runToken } = await import('./runner-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runToken(session, invocation.deps, name),
    )
  })
}

function addEnroll(runner: Command, invocation: Invocation): void {
  const command = runner
    .command('enroll')
    .description(
      'Make this machine a runner.\n\nThe token comes from a file or standard input, never from the arguments, which others can read.',
    )
    .option('--token-file <file>', "file with the token; '-', the default, is standard input", '-')
    .option('--server <url>', 'where to reach the server, if not where the token says')
  withExamples(
    withData(command),
    'bothy runner enroll --token-file token',
    'ssh admin bothy runner token here | bothy runner enroll',
  )
  command.action(async (options: { data?: string; tokenFile: string; server?: string }) => {
    const { deps } = invocation
    const { readToken } = await import('./runner-run.ts')
    const token = await readToken(deps, options.tokenFile)
    const { server } = options
    await deps.runnerEnroll({
      ...(await common(deps, options)),
      token,
      ...(server === undefined ? {} : { server }),
    })
  })
}

function addRun(runner: Command, invocation: Invocation): void {
  const command = runner
    .command('run')
    .description('Run environments, in the foreground. Ending it leaves them running.')
    .option(
      '--gateway <address>',
      'IP:PORT where clients reach this machine directly; default: through the server',
    )
  withExamples(withData(command), 'bothy runner run', 'bothy runner run --gateway 0.0.0.0:7444')
  command.action(async (options: { data?: string; gateway?: string }) => {
    const { deps } = invocation
    const { parseAddress } = await import('../address.ts')
    const gateway = options.gateway === undefined ? {} : { gateway: parseAddress(options.gateway) }
    await deps.runnerRun({ ...(await common(deps, options)), ...gateway })
  })
}
