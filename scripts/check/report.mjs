import process from 'node:process'

/** How a check of ours ends: what it looked at, or its problems and exit code 1. */
export function report(problems, looked) {
  for (const problem of problems) process.stdout.write(`${problem}\n`)
  process.stdout.write(problems.length === 0 ? `${looked}\n` : `${problems.length} problems; ${looked}\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
}
