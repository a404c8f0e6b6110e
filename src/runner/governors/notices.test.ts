import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import type { Exec, ExecStream, Exit } from '../../core/exec.ts'
import { createNotices } from './notices.ts'

function command(tty: boolean): { exec: Exec; stdout: PassThrough; stderr: PassThrough; end: () => void } {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const { promise: exit, resolve } = Promise.withResolvers<Exit>()
  const stream: ExecStream = {
    ...{ stdin: new PassThrough(), stdout, stderr: tty ? undefined : stderr, exit },
    resize: () => undefined,
  }
  return { exec: async () => stream, stdout, stderr, end: () => resolve({ code: 0 }) }
}
const signal = new AbortController().signal
const heard = (stream: PassThrough) => {
  const chunks: string[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk.toString()))
  return chunks
}

test('each terminal of the environment is told, commands without one where errors are told, others nothing', async () => {
  const notices = createNotices()
  const [terminal, script, other] = [command(true), command(false), command(true)]
  const lines = [heard(terminal.stdout), heard(script.stderr), heard(script.stdout), heard(other.stdout)]
  await notices.attached('a', terminal.exec)({ argv: ['bash'] }, signal)
  await notices.attached('a', script.exec)({ argv: ['make'] }, signal)
  await notices.attached('b', other.exec)({ argv: ['bash'] }, signal)
  notices.say('a', 'bothy: killed cc1plus (1.2 GiB)')
  await expect
    .poll(() => lines)
    .toEqual([
      ['\r\n\x1b[33mbothy: killed cc1plus (1.2 GiB)\x1b[0m\r\n'],
      ['bothy: killed cc1plus (1.2 GiB)\n'],
      [],
      [],
    ])
})

test('what is said comes whole, between what the command says', async () => {
  const notices = createNotices()
  const { exec, stdout } = command(true)
  const stream = await notices.attached('a', exec)({ argv: ['bash'] }, signal)
  stdout.write('before ')
  notices.say('a', 'said')
  stdout.end('after')
  const text = (await stream.stdout.toArray()).map(String).join('')
  expect(text).toContain('\r\n\x1b[33msaid\x1b[0m\r\n')
  expect(text.replace(/\r\n.*\r\n/, '')).toBe('before after')
})

test('names cannot draw on a terminal, and whoever has ended is told nothing', async () => {
  const notices = createNotices()
  const { exec, stdout, end } = command(true)
  const lines = heard(stdout)
  const stream = await notices.attached('a', exec)({ argv: ['bash'] }, signal)
  notices.say('a', 'killed \x1b]0;root\x07\n\u202e')
  await expect.poll(() => lines).toEqual(['\r\n\x1b[33mkilled ?]0;root???\x1b[0m\r\n'])
  end()
  await stream.exit
  notices.say('a', 'again')
  stdout.end()
  await stream.stdout.toArray()
  expect(lines).toHaveLength(1)
})
