import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startProgram } from '../../test/support/program.ts'

const PASSES_TWO_POINTS = `
import { armFailpoints, failpoint } from '${new URL('failpoint.ts', import.meta.url).href}'
armFailpoints(process.env.BOTHY_FAILPOINTS)
failpoint('first')
console.log('between')
failpoint('second')
failpoint('second')
console.log('behind')
`

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bothy-failpoints-'))
})
afterEach(() => rm(dir, { recursive: true }))

const start = (env: Record<string, string>) =>
  startProgram([process.execPath, '--input-type=module-typescript', '-e', PASSES_TWO_POINTS], { env })

test('without a folder nothing happens', async () => {
  await writeFile(join(dir, 'first'), 'kill')
  expect(await start({ BOTHY_FAILPOINTS: '' }).result).toMatchObject({ code: 0, stdout: 'between\nbehind\n' })
  expect(await readdir(dir)).toEqual(['first'])
})

test('every point that is passed is written down, in order', async () => {
  expect(await start({ BOTHY_FAILPOINTS: dir }).result).toMatchObject({ code: 0 })
  expect(await readFile(join(dir, 'trace'), 'utf8')).toBe('first\nsecond\nsecond\n')
})

test.each([
  ['kill', ['first', 'second'], 'between\n'],
  ['kill after 1', ['first', 'second', 'second'], 'between\n'],
])('an order %s ends the process right there, once', async (order, passed, stdout) => {
  await writeFile(join(dir, 'second'), order)
  const program = start({ BOTHY_FAILPOINTS: dir })
  expect(await program.result).toMatchObject({ stdout })
  expect(program.child.signalCode).toBe('SIGKILL')
  expect((await readFile(join(dir, 'trace'), 'utf8')).trim().split('\n')).toEqual(passed)
  // The next process meets no order.
  expect(await start({ BOTHY_FAILPOINTS: dir }).result).toMatchObject({ code: 0 })
})

test('an order to stop freezes the process right there, until it is let go', async () => {
  await writeFile(join(dir, 'second'), 'stop')
  const program = start({ BOTHY_FAILPOINTS: dir })
  await program.until(/between/)
  await expect.poll(() => stateOf(program.child.pid)).toBe('T')
  expect(program.said()).not.toContain('behind')
  program.child.kill('SIGCONT')
  expect(await program.result).toMatchObject({ code: 0, stdout: 'between\nbehind\n' })
})

test('an order that nobody understands is an error, not silence', async () => {
  await writeFile(join(dir, 'first'), 'exit')
  expect((await start({ BOTHY_FAILPOINTS: dir }).result).stderr).toContain("'exit' is not 'kill' or 'stop'")
})

async function stateOf(pid: number | undefined): Promise<string | undefined> {
  return /^State:\s+(\w)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
}
