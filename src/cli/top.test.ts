// `bothy top` in front of a real server, which has been told figures as a runner tells them; on a real terminal, too.
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cli, openCli } from '../../test/support/cli.ts'
import { environment, pathOf, type ServerFixture, startServer } from '../../test/support/server.ts'
import { usageReport } from '../../test/support/usage.ts'
import { execHere } from '../adapters/fake/exec.ts'
import { systemClock } from '../lib/clock.ts'
import { LAUNCHER } from '../main/paths.ts'

let server: ServerFixture
let cli: Cli
let uids: Record<string, string>
let tell: (cores: number) => Promise<unknown>
beforeAll(async () => {
  server = await startServer()
  cli = await openCli({ url: server.url(), ca: server.pki.ca, token: server.tokens.ada })
  const runner = await server.addRunner('here')
  const make = async (name: string, spec: object) => {
    const token = server.tokens.admin
    const body = environment(name, { spec })
    const { body: made } = await server.call('POST', pathOf('environments'), { token, body })
    const status = { ...made.status, phase: made.spec.runner === undefined ? 'Pending' : 'Running' }
    await server.database.store.update({ ...made, status }, 'status')
    return [name, made.metadata.uid]
  }
  uids = Object.fromEntries([
    await make('calm', { runner: 'here' }),
    await make('hog', { runner: 'here' }),
    await make('asleep', {}),
  ])
  tell = async cores => {
    const governor = {
      ...{ name: 'cpu', act: 'weight 100', why: 'uses more than its share' },
      at: new Date(systemClock.now()).toISOString(),
    }
    const body = usageReport({
      [uids['calm']!]: { cpu: { cores: 0.25, sessionCores: 0.25, throttled: 0 } },
      [uids['hog']!]: { cpu: { cores, sessionCores: 0, throttled: 0.5 }, governor },
    })
    const told = await server.call('POST', '/runner/usage', { token: await runner.token(), body })
    expect(told.status, told.text).toBe(200)
  }
})
afterAll(async () => {
  await cli?.close()
  await server?.close()
})

const bothy = (line: string) => cli.run(line.split(' '))

test('before anything is known it says so', async () => {
  expect(await bothy('top')).toEqual({
    code: 0,
    stdout: '',
    stderr: 'Nothing is measured: no environment runs.\n',
  })
})

test('is printed once where there is no terminal', async () => {
  await tell(1.5)
  const { code, stdout } = await bothy('top')
  expect(code).toBe(0)
  const [host, , head, first, second, ...rest] = stdout.split('\n')
  expect(host).toMatch(/^here: 1\.50 of 2 cores/)
  expect(head).toMatch(/^NAME +CPU +SESSION +THROTTLED/)
  expect(first).toMatch(/^hog +█+▌ +1\.50 .* 50% .*cpu \ds ago: weight 100 \(uses more than its share\)$/)
  expect(second).toMatch(/^calm +█▎ +0\.25 +0\.25/)
  expect(rest).toEqual([''])
  expect((await bothy('top --sort name')).stdout).toMatch(/calm[^]*hog/)
})

test('as JSON, of those that are named', async () => {
  await tell(1.5)
  const { stdout } = await bothy('top hog -o json')
  const list = JSON.parse(stdout)
  expect(list).toMatchObject({ kind: 'EnvironmentUsageList', runners: [{ metadata: { name: 'here' } }] })
  expect(list.items).toMatchObject([
    { metadata: { name: 'hog' }, usage: { cpu: { cores: 1.5 }, governor: { name: 'cpu' } } },
  ])
  expect(JSON.parse((await bothy('top -A -o json')).stdout).items).toHaveLength(2)
})

test('one that is not measured, or not there, is named with the reason', async () => {
  const asleep = await bothy('top asleep')
  expect(asleep).toMatchObject({ code: 4, stdout: '' })
  expect(asleep.stderr).toMatch(
    /usage of environment.*asleep.*it is Pending.*\n.*it is measured while it runs/,
  )
  expect(await bothy('top hog nobody')).toMatchObject({ code: 4, stdout: '' })
  expect((await bothy('top --sort weight')).code).toBe(2)
})

test('explain tells the same of one', async () => {
  await tell(1.5)
  const { stdout } = await bothy('explain env/hog')
  expect(stdout).toMatch(
    /What it uses now\n {2}1\.50 cores, 0\.00 of them by its sessions; a ceiling holds it up 50%/,
  )
  expect(stdout).toMatch(/governor cpu, \ds ago: weight 100 \(uses more than its share\)/)
  expect(JSON.parse((await bothy('explain env/hog -o json')).stdout).usage.cpu.cores).toBe(1.5)
  expect((await bothy('explain env/asleep')).stdout).not.toContain('What it uses now')
})

test('on a terminal it is drawn anew, keys sort and end it, and the screen is given back', async () => {
  await tell(1.5)
  const stop = new AbortController()
  const env = { HOME: cli.home, PATH: process.env['PATH'] ?? '', TERM: 'xterm' }
  const stream = await execHere(
    { argv: [LAUNCHER, 'top'], cwd: join(cli.home), env, tty: { columns: 140, rows: 12 } },
    stop.signal,
  )
  let said = ''
  let onSaid = () => undefined as void
  stream.stdout.on('data', chunk => {
    said += String(chunk)
    onSaid()
  })
  const until = (pattern: RegExp) =>
    new Promise<void>(resolve => {
      onSaid = () => {
        if (pattern.test(said)) resolve()
      }
      onSaid()
    })
  await until(/\u001b\[\?1049h.*hog[^\n]*1\.50/s)
  await tell(0.75)
  await until(/\u001b\[H.*hog[^\n]*0\.75/s)
  said = ''
  stream.stdin.write('a')
  await until(/\u001b\[H.*calm.*hog.*\u001b\[J/s)
  // Smaller than what is to be shown: cut off, nothing wraps.
  said = ''
  stream.resize({ columns: 60, rows: 3 })
  await until(/\u001b\[H[^\u001b]*.*\u001b\[J/s)
  expect(said).not.toContain('calm')
  stream.stdin.write('q')
  expect(await stream.exit).toEqual({ code: 0 })
  // What was seen last stays.
  expect(said).toMatch(/\u001b\[\?25h\u001b\[\?1049l.*calm.*hog/s)
  stop.abort()
})

test('^C ends it', async () => {
  const stop = new AbortController()
  const env = { HOME: cli.home, PATH: process.env['PATH'] ?? '', TERM: 'xterm' }
  const tty = { columns: 100, rows: 20 }
  const stream = await execHere({ argv: [LAUNCHER, 'top'], cwd: cli.home, env, tty }, stop.signal)
  await new Promise<void>(resolve => {
    let said = ''
    stream.stdout.on('data', chunk => {
      said += String(chunk)
      if (said.includes('\u001b[?1049h') && said.includes('\u001b[J')) resolve()
    })
  })
  stream.stdin.write('\u0003')
  expect(await stream.exit).toEqual({ code: 0 })
  stop.abort()
})
