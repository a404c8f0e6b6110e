import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import { type Format, printValue } from '../output/formats.ts'
import { withOutput } from '../output/option.ts'
import { oneLine } from '../output/text.ts'

export function addVersion(program: Command, invocation: Invocation): void {
  const command = program
    .command('version')
    .description('Print the version of this program, and with --server that of the server.')
    .option('--server', 'ask the server for its own')
  withExamples(withServer(withOutput(command, ['table', 'json', 'yaml'])), 'bothy version --server')
  command.action(async (options: { server?: boolean; output: Format }) => {
    const { deps } = invocation
    const client = deps.version
    const server =
      options.server === true
        ? await withSession(invocation, connectOptions(command.opts()), session =>
            session.request<{ gitVersion?: string; bothy?: string }>('GET', '/version'),
          )
        : undefined
    if (options.output === 'json' || options.output === 'yaml') {
      return printValue(server === undefined ? { client } : { client, server }, options.output, deps)
    }
    deps.stdout.write(`bothy ${client}\n`)
    if (server !== undefined)
      deps.stdout.write(`server ${oneLine(server.bothy ?? server.gitVersion ?? 'unknown')}\n`)
  })
}
