// The program, as `bothy`.
import { runCli } from './run-cli.ts'

await runCli('bothy')
