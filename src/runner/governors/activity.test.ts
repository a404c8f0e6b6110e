import { PassThrough, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import type { Exec, ExecStream, Exit } from '../../core/exec.ts'
import { createActivity } from './activity.ts'

/** A command that takes what it is given. */
function command(stdin: Writable): { exec: Exec; end(exit: Exit): void } {
  const exit = Promise.withResolvers<Exit>()
  const stream: ExecStream = {
    ...{ stdin, stdout: new PassThrough(), stderr: undefined, exit: exit.promise },
    resize: () => undefined,
  }
  return { exec: async () => stream, end: exit.resolve }
}

const write = (stdin: Writable, bytes: string) => new Promise(resolve => stdin.write(bytes, resolve))
const never = new AbortController().signal

test('a command is a connection from its beginning to its end, and its input is heard before it arrives', async () => {
  let now = 100
  const activity = createActivity(() => now)
  expect(activity.of('e')).toEqual({ heardMs: undefined, typedMs: undefined, connections: 0, terminals: 0 })
  const input = new PassThrough()
  const heard: [string, number | undefined, number][] = []
  const end = activity.onHeard((id, restedMs) => heard.push([id, restedMs, input.readableLength]))
  const { exec, end: endCommand } = command(input)
  const stream = await activity.counted('e', exec)({ argv: ['x'], tty: { columns: 80, rows: 24 } }, never)
  // To come in is not to type.
  expect(activity.of('e')).toEqual({ heardMs: 100, typedMs: undefined, connections: 1, terminals: 1 })
  now = 200
  await write(stream.stdin, 'a')
  now = 250
  await write(stream.stdin, 'bc')
  expect(heard).toEqual([
    ['e', undefined, 0],
    ['e', Number.POSITIVE_INFINITY, 0],
    ['e', 50, 1],
  ])
  end()
  stream.stdin.end()
  expect(await text(input)).toBe('abc')
  now = 300
  endCommand({ code: 0 })
  await stream.exit
  await Promise.resolve()
  expect(activity.of('e')).toEqual({ heardMs: 300, typedMs: 250, connections: 0, terminals: 0 })
  activity.forget('e')
  expect(activity.of('e').heardMs).toBeUndefined()
})

test('a command that cannot be started is no connection', async () => {
  const activity = createActivity()
  const failing: Exec = async () => {
    throw new Error('no such program')
  }
  await expect(activity.counted('e', failing)({ argv: ['x'] }, never)).rejects.toThrow('no such program')
  expect(activity.of('e').connections).toBe(0)
})

test('input that a command does not take makes no noise and holds up who writes', async () => {
  const activity = createActivity()
  const stuck = new Writable({ highWaterMark: 1, write: () => undefined })
  const { exec } = command(stuck)
  const stream = await activity.counted('e', exec)({ argv: ['x'] }, never)
  for (let i = 0; i < 20 && stream.stdin.write(Buffer.alloc(10_000)); i++);
  expect(stream.stdin.writableNeedDrain).toBe(true)
  const closed = new Promise(resolve => stream.stdin.once('close', resolve))
  stuck.destroy(new Error('EPIPE'))
  await closed
  expect(stream.stdin.destroyed).toBe(true)
})
