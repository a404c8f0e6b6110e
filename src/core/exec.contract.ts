// What every exec owes, whoever provides it: each driver's sandbox, and the gateway from end to end.
import { buffer, text } from 'node:stream/consumers'
import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Exec, ExecRequest, ExecStream, Exit, TtySize } from './exec.ts'

export interface ExecContractOptions {
  /** False when this exec offers no terminals; the promises about them are then skipped, and it is said. */
  readonly tty?: boolean
  /** Promises that cannot be kept here: name to reason. Printed. */
  readonly skips?: Readonly<Record<string, string>>
}

interface Ended {
  readonly stdout: string
  readonly stderr: string
  readonly exit: Exit
}

// promise                                            script                        stdin              stdout          stderr  exit
const CASES: readonly (readonly [string, string, string, string, string, Exit])[] = [
  ['keeps stdout and stderr apart', 'echo a; echo b >&2', '', 'a\n', 'b\n', { code: 0 }],
  ['calls a failing command a result', 'exit 43', '', '', '', { code: 43 }],
  ['passes stdin and its end', 'cat; echo done', 'hello ', 'hello done\n', '', { code: 0 }],
  ['forgives a command that never reads its input', 'exit 0', 'x'.repeat(1e6), '', '', { code: 0 }],
  ['delivers all output before a failing exit', 'seq 1 3; exit 1', '', '1\n2\n3\n', '', { code: 1 }],
]

/**
 * Runs the exec contract against what `open` gives. `open` is called once; whatever it starts is the caller's to stop.
 * Inside there must be `/bin/sh`, `cat`, `seq`, `sleep`, `kill`, `env`, `pwd` and, for terminals, `stty` and `tty`.
 */
export function execContract(
  name: string,
  open: () => Promise<Exec>,
  options: ExecContractOptions = {},
): void {
  describe(`exec of ${name}`, () => {
    let exec: Exec
    beforeAll(async () => {
      exec = await open()
    })

    const titles = new Set<string>()
    const promise = (title: string, body: (signal: AbortSignal) => Promise<void>, timeoutMs = 30_000) => {
      titles.add(title)
      const reason = options.skips?.[title]
      if (reason !== undefined) return skipped(name, title, reason)
      test(title, { timeout: timeoutMs }, async ({ signal }) => body(signal))
    }
    const sh = (script: string, more: Omit<ExecRequest, 'argv'> = {}): ExecRequest => ({
      argv: ['/bin/sh', '-c', script],
      ...more,
    })
    const run = async (request: ExecRequest, stdin: string, signal: AbortSignal): Promise<Ended> => {
      const stream = await exec(request, signal)
      stream.stdin.end(stdin)
      const [stdout, stderr, exit] = await Promise.all([
        text(stream.stdout),
        stream.stderr === undefined ? '' : text(stream.stderr),
        stream.exit,
      ])
      return { stdout, stderr, exit }
    }

    for (const [title, script, stdin, stdout, stderr, exit] of CASES) {
      promise(title, async signal => {
        expect(await run(sh(script), stdin, signal)).toEqual({ stdout, stderr, exit })
      })
    }

    promise('calls death by a signal a result', async signal => {
      expect((await run(sh('kill -KILL $$'), '', signal)).exit).toSatisfy(diedOf('SIGKILL', 9))
      expect((await run(sh('kill -TERM $$'), '', signal)).exit).toSatisfy(diedOf('SIGTERM', 15))
    })

    promise('carries 5 MB of every byte value both ways, all of it before exit', async signal => {
      const sent = Buffer.alloc(
        5 * 1024 * 1024,
        Uint8Array.from({ length: 256 }, (_, byte) => byte),
      )
      const stream = await exec({ argv: ['cat'] }, signal)
      stream.stdin.end(sent)
      const received = buffer(stream.stdout)
      stream.stderr?.resume()
      expect(await stream.exit).toEqual({ code: 0 })
      expect(Buffer.compare(await received, sent)).toBe(0)
    })

    promise('waits for a slow reader instead of dropping or buffering without end', async signal => {
      const stream = await exec({ argv: ['seq', '1', '300000'] }, signal)
      stream.stdin.end()
      stream.stderr?.resume()
      let bytes = 0
      let chunks = 0
      for await (const chunk of stream.stdout) {
        bytes += (chunk as Buffer).length
        if (++chunks % 8 === 0) await systemClock.sleep(1, signal)
      }
      expect(bytes).toBe(Array.from({ length: 300_000 }, (_, i) => `${i + 1}\n`).join('').length)
      expect(await stream.exit).toEqual({ code: 0 })
    })

    promise('honours the working directory', async signal => {
      expect((await run({ argv: ['pwd'], cwd: '/usr' }, '', signal)).stdout).toBe('/usr\n')
    })

    promise('honours variables, byte by byte, and passes arguments unseen by a shell', async signal => {
      const odd = `$HOME "'\\ \t*;é`
      const request = { argv: ['/bin/sh', '-c', 'printf "%s|%s" "$ODD" "$1"', 'sh', odd], env: { ODD: odd } }
      expect((await run(request, '', signal)).stdout).toBe(`${odd}|${odd}`)
    })

    promise('lets a program that does not exist exit with 127, or faults with not_found', async signal => {
      const ended = await run({ argv: ['/nowhere/no-such-program'] }, '', signal).then(
        ({ exit }) => exit,
        error => toFault(error).reason,
      )
      expect([{ code: 127 }, 'not_found']).toContainEqual(ended)
    })

    promise('runs several commands at once', async signal => {
      const words = Array.from({ length: 8 }, (_, i) => `word-${i}`)
      const all = await Promise.all(words.map(word => run({ argv: ['echo', word] }, '', signal)))
      expect(all.map(({ stdout }) => stdout)).toEqual(words.map(word => `${word}\n`))
    })

    promise('kills the command and its children within 5 s of an abort', async signal => {
      const abort = new AbortController()
      const stream = await exec(sh('sleep 1000 & echo "$! $$"; sleep 1001'), abort.signal)
      stream.stderr?.resume()
      const pids = (await seen(stream, /(\d+) (\d+)\r?\n/)).slice(1, 3)
      const abortedAt = systemClock.now()
      abort.abort()
      // Over a connection the far end's verdict may never arrive: then it is a `cancelled` fault.
      const ended = await stream.exit.catch(error => toFault(error).reason)
      expect(ended).toSatisfy(
        (it: unknown) =>
          it === 'cancelled' || diedOf('SIGKILL', 9)(it as Exit) || diedOf('SIGTERM', 15)(it as Exit),
      )
      for (;;) {
        // A zombie is dead; who reaps it is another matter.
        const alive = `for p in ${pids.join(' ')}; do s=$(cut -d' ' -f3 "/proc/$p/stat" 2>/dev/null); [ -n "$s" ] && [ "$s" != Z ] && echo $p; done; true`
        const { stdout } = await run(sh(alive), '', signal)
        if (stdout === '') break
        expect(systemClock.now() - abortedAt, `still alive: ${stdout}`).toBeLessThan(5_000)
        await systemClock.sleep(50, signal)
      }
      expect(systemClock.now() - abortedAt).toBeLessThan(5_000)
    })

    promise('does not start a command whose signal is aborted already', async signal => {
      const begun = exec({ argv: ['sleep', '1000'] }, AbortSignal.abort())
      const ended = await begun.then(stream => stream.exit).catch(error => toFault(error).reason)
      expect(ended).toSatisfy((it: unknown) => it === 'cancelled' || diedOf('SIGKILL', 9)(it as Exit))
      expect(signal.aborted).toBe(false)
    })

    const tty = (title: string, body: (signal: AbortSignal) => Promise<void>, timeoutMs?: number) => {
      titles.add(title)
      if (options.tty === false) return skipped(name, title, 'it offers no terminals')
      promise(title, body, timeoutMs)
    }
    const size: TtySize = { columns: 101, rows: 37 }

    tty('a terminal has its size from the start', async signal => {
      for (let i = 0; i < 5; i++) {
        expect((await run({ argv: ['stty', 'size'], tty: size }, '', signal)).stdout).toBe('37 101\r\n')
      }
    })

    tty('a terminal is one: for the command, and with a single output', async signal => {
      const stream = await exec(sh('test -t 0 && test -t 1 && test -t 2 && tty', { tty: size }), signal)
      expect(stream.stderr).toBeUndefined()
      const [stdout, exit] = await Promise.all([text(stream.stdout), stream.exit])
      expect({ stdout, exit }).toEqual({
        stdout: expect.stringMatching(/^\/dev\/(pts\/\d+|console)\r\n$/),
        exit: { code: 0 },
      })
    })

    tty('a resize arrives, and the command is told', async signal => {
      const script = 'trap "echo told" WINCH; while :; do stty size; sleep 0.1; done'
      const abort = new AbortController()
      const stream = await exec(sh(script, { tty: size }), AbortSignal.any([signal, abort.signal]))
      await seen(stream, /37 101\r\n/)
      stream.resize({ columns: 90, rows: 20 })
      await seen(stream, /told\r\n[^]*20 90\r\n|20 90\r\n[^]*told\r\n/)
      abort.abort()
      await stream.exit.catch(() => undefined) // How it ends is another promise's matter.
    })

    tty('a terminal carries what is typed, and its echo', async signal => {
      const stream = await exec(sh('read line; echo "got $line"; exit 7', { tty: size }), signal)
      stream.stdin.write('a word\n')
      const [stdout, exit] = await Promise.all([text(stream.stdout), stream.exit])
      expect({ stdout, exit }).toEqual({ stdout: 'a word\r\ngot a word\r\n', exit: { code: 7 } })
    })

    tty(
      'the tail of a burst on a terminal is never lost, in 20 runs',
      async signal => {
        for (let run_ = 0; run_ < 20; run_++) {
          const { stdout, exit } = await run({ argv: ['seq', '1', '20000'], tty: size }, '', signal)
          expect({ tail: stdout.slice(-7), lines: stdout.split('\r\n').length, exit }).toEqual({
            tail: '20000\r\n',
            lines: 20_001,
            exit: { code: 0 },
          })
        }
      },
      60_000,
    )

    tty('^C interrupts', async signal => {
      const stream = await exec(sh('echo ready; sleep 1000; echo never', { tty: size }), signal)
      await seen(stream, /ready\r\n/)
      stream.stdout.resume()
      // dash loses a ^C that arrives while it forks; a person presses again, and so do we.
      let exit: Exit | undefined
      while (exit === undefined) {
        stream.stdin.write('\x03')
        exit = await Promise.race([stream.exit, systemClock.sleep(200, signal).then(() => undefined)])
      }
      expect(exit).toSatisfy(diedOf('SIGINT', 2))
    })

    test('skips nothing that was never promised', () => {
      expect(Object.keys(options.skips ?? {}).filter(each => !titles.has(each))).toEqual([])
    })
  })
}

/** A shell in between reports a signal as 128 + its number: as good. */
function diedOf(signal: NodeJS.Signals, number: number): (exit: Exit) => boolean {
  return exit => ('signal' in exit ? exit.signal === signal : exit.code === 128 + number)
}

/** Reads on until `pattern` matches what arrived since the call; leaves the stream open for more. */
async function seen(stream: ExecStream, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let all = ''
    const done = () => {
      stream.stdout.off('data', onData)
      stream.stdout.off('end', onEnd)
    }
    const onEnd = () => {
      done()
      reject(new Error(`output ended before ${pattern}: ${JSON.stringify(all.slice(-500))}`))
    }
    const onData = (chunk: Buffer) => {
      all += chunk.toString('latin1')
      const match = pattern.exec(all)
      if (match === null) return
      done()
      resolve(match)
    }
    stream.stdout.on('data', onData)
    stream.stdout.on('end', onEnd)
  })
}

function skipped(name: string, title: string, reason: string): void {
  test.skip(`${title} (skipped: ${reason})`)
  process.stderr.write(`skipped: ${name}: ${title}: ${reason}\n`)
}
