// Running other programs: argv arrays only, never through a shell.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import process from 'node:process'

/** Runs a program to its end and keeps what it prints. Never rejects for an exit code; `code` is -1 if it never started. */
export function capture(argv, options = {}) {
  const [file, ...args] = argv
  return new Promise(resolve => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', chunk => {
        output += chunk
      })
    }
    child.once('error', error => resolve({ code: -1, output: `${file}: ${error.message}` }))
    child.once('close', code => resolve({ code: code ?? -1, output }))
  })
}

/** As `capture`, but prints the last lines and throws when the program fails. */
export async function mustCapture(argv, options = {}) {
  const result = await capture(argv, options)
  if (result.code === 0) return result.output
  const said = result.output.trimEnd().split('\n').slice(-25).join('\n')
  throw new Error(`${argv.join(' ')}: exit ${result.code}\n${said}`)
}

/**
 * Becomes another program as far as Node can: same terminal, signals passed on, same exit code. Node before 23.11 has
 * no exec(2), so this process stays as a thin parent until the other has ended.
 */
export function become(argv, options = {}) {
  const [file, ...args] = argv
  const child = spawn(file, args, { stdio: 'inherit', ...options })
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => child.kill(signal))
  // From a terminal the whole group gets Ctrl-C already, and a second one would mean "at once".
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT')
  })
  return new Promise(() => {
    child.once('error', error => {
      process.stderr.write(`error: ${file}: ${error.message}\n`)
      process.exit(127)
    })
    child.once('close', (code, signal) => {
      process.exit(code ?? 128 + (constants.signals[signal] ?? 0))
    })
  })
}
