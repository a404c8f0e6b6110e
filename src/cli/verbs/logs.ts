import { type Command, InvalidArgumentError } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'

export function addLogs(program: Command, invocation: Invocation): void {
  const command = program
    .command('logs')
    .description("Show an environment's log: what happened while it was made and started.")
    .argument('<environment>', 'its name')
    .option('-f, --follow', 'go on as it grows')
    .option('--tail <lines>', 'only the last lines', parseCount)
  withExamples(withServer(command), 'bothy logs calm-otter', 'bothy logs calm-otter -f --tail 20')
  command.action(async (name: string, options: { follow?: boolean; tail?: number }) => {
    const { runLogs } = await import('./logs-run.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runLogs(session, invocation.deps, name, { follow: options.follow === true, tail: options.tail }),
    )
  })
}

function parseCount(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Give a number of lines.')
}
