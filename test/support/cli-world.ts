// A server, a runner whose sandboxes are plain child processes, and the command line of one of its members.
import { type Cli, type CliCall, type CliResult, openCli } from './cli.ts'
import { type RunnerFixture, startRunner } from './runner.ts'
import { type ServerFixture, startServer } from './server.ts'

export interface CliWorld {
  readonly server: ServerFixture
  readonly runner: RunnerFixture
  readonly cli: Cli
  /** A command line without quotes: its words are what stands between spaces. */
  bothy(line: string, call?: CliCall): Promise<CliResult>
  close(): Promise<void>
}

export async function openCliWorld(): Promise<CliWorld> {
  const server = await startServer()
  const connect = (token: string) => openCli({ url: server.url(), ca: server.pki.ca, token })
  const admin = await connect(server.tokens.admin)
  const { stdout: token } = await admin.run(['runner', 'token', 'here'])
  await admin.close()
  const runner = await startRunner(server, token.trim())
  const cli = await connect(server.tokens.ada)
  return {
    server,
    runner,
    cli,
    bothy: (line, call) => cli.run(line.split(' '), call),
    async close() {
      await cli.close()
      await runner.close()
      await server.close()
    },
  }
}
