// One run of the program. Here, and only here, the command line meets the process; what a verb needs is loaded when it is
// asked for.

import type { Deps, ProgramName } from '../cli/deps.ts'
import { runProgram } from '../cli/program.ts'
import { openSession } from '../cli/session.ts'
import { systemClock } from '../lib/clock.ts'
import { armFailpoints } from '../lib/failpoint.ts'
import { LAUNCHER } from './paths.ts'
import { VERSION } from './version.ts'

/** Runs this process's command line under the name that it was called by, and ends the process. */
export async function runCli(program: ProgramName): Promise<never> {
  armFailpoints(process.env.BOTHY_FAILPOINTS)
  const ending = new AbortController()
  // A second ^C is from somebody in a hurry, and the default applies. A second SIGTERM is not: service managers and
  // launchers send it to whole groups and pass it on as well.
  process.once('SIGINT', () => ending.abort())
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => ending.abort())

  const deps: Deps = {
    connect: options =>
      openSession(options, {
        env: process.env,
        isKubectlPlugin: program === 'kubectl bothy',
        warn: message => void process.stderr.write(`bothy: ${message}\n`),
      }),
    up: async options => (await import('./up.ts')).up(deps, options),
    down: async options => (await import('./down.ts')).down(deps, options),
    server: async options => (await import('./server.ts')).runServer(deps, options),
    runnerEnroll: async options => (await import('./runner.ts')).enroll(deps, options),
    runnerRun: async options => (await import('./runner.ts')).run(deps, options),
    doctor: async options => (await import('./doctor.ts')).doctor(deps, options),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    isRoot: process.getuid?.() === 0,
    clock: systemClock,
    version: VERSION,
    program,
    launcher: LAUNCHER,
    signal: ending.signal,
  }

  process.exitCode = await runProgram(deps, process.argv.slice(2))
  // Nothing is left to do; a handle that a library forgot must not keep the terminal.
  process.exit()
}
