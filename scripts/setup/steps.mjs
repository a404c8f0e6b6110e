// What `npm start`, `npm test` and the others say while they set things up: one line per step, with its time.
import process from 'node:process'

const began = performance.now()

/** `1.3 s`, `240 ms`: what people read, not what programs parse. */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

/** Says what is about to happen, does it, and says how long it took. `act` may return a sentence about the result. */
export async function step(title, act) {
  process.stdout.write(`==> ${title}\n`)
  const start = performance.now()
  const result = await act()
  const took = duration(performance.now() - start)
  process.stdout.write(`    ${typeof result === 'string' ? `${result}, ` : ''}${took}\n`)
}

/** A line of news that is no step. */
export function say(line) {
  process.stdout.write(`${line}\n`)
}

/** Ends the program with a message, and with what can be done about it. */
export function giveUp(message, hint, code = 1) {
  process.stderr.write(`error: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`)
  process.exit(code)
}

export function elapsed() {
  return duration(performance.now() - began)
}
