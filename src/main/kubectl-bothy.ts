// The program, as kubectl's plugin.
import { runCli } from './run-cli.ts'

await runCli('kubectl bothy')
