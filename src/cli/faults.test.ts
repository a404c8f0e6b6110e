// The program in this process, in front of a real server and a real runner whose sandboxes are plain child processes.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CliCall, Sink } from '../../test/support/cli.ts'
import { type CliWorld, openCliWorld } from '../../test/support/cli-world.ts'
import { Fault } from '../lib/fault.ts'

let world: CliWorld
let dir: string
beforeAll(async () => {
  world = await openCliWorld()
  dir = await mkdtemp(join(tmpdir(), 'bothy-program-'))
})
afterAll(async () => {
  await world?.close()
  await rm(dir, { recursive: true, force: true })
})

const bothy = (line: string, call?: CliCall) => world.bothy(line, call)

describe('what goes wrong', () => {
  test('a failed create says why, what to do, where to read more, and exits by the reason', async () => {
    const { code, stdout, stderr } = await bothy('env create --name wrong --image oci:missing')
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' })
    expect(stderr).toMatch(/error: create environment default\/wrong: \w+: .*missing/)
    expect(stderr).toContain('hint: ')
    expect(stderr).toContain('bothy explain environment/wrong')
    const explained = (await bothy('explain env/wrong')).stdout
    expect(explained).toContain('It should be Running and has failed.')
    expect(explained).toContain('Give up: bothy env delete wrong')
    expect((await bothy('delete environment wrong')).stdout).toBe('environment default/wrong deleted\n')
  })

  test('the exit code is that of the fault behind the condition, whatever its name', async () => {
    world.runner.misbehave.failEnsure = new Fault('forbidden', 'peculiar', 'start: not today', {
      hint: 'ask nicely',
    })
    const { code, stderr } = await bothy('env create --name peculiar')
    delete world.runner.misbehave.failEnsure
    expect(code).toBe(3)
    expect(stderr).toContain('error: create environment default/peculiar: Peculiar: start: not today')
    expect(stderr).toContain('hint: ask nicely')
    await bothy('env delete peculiar')
  })

  test('a server that restarts meanwhile is waited for', async () => {
    world.runner.misbehave.startDelayMs = 1_000
    let restarted: Promise<void> | undefined
    const { code, stdout } = await bothy('env create --name restarted', {
      onOutput: text => {
        if (/disk|starting/.test(text)) restarted ??= world.server.restart()
      },
    })
    delete world.runner.misbehave.startDelayMs
    await restarted
    expect(restarted).toBeDefined()
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^restarted is running/) })
    await bothy('env delete restarted')
  })

  test('a passing failure is tried again, and then waiting was worth it', async () => {
    world.runner.misbehave.failEnsure = [new Fault('unavailable', 'host-busy', 'the host is busy')]
    expect((await bothy('env create --name patient')).code).toBe(0)
    await bothy('env delete patient')
  })

  test('an unknown class fails at once, with the classes that there are', async () => {
    const { code, stderr } = await bothy('env create --name classless --class huge')
    expect(code).toBe(4)
    expect(stderr).toContain("there is no EnvironmentClass 'huge'")
    expect(stderr).toContain('use one of: small')
    expect((await bothy('env delete classless')).code).toBe(0)
  })

  test('a name that is taken is 5, with what can be done', async () => {
    await bothy('env create --name taken --no-wait')
    const { code, stderr } = await bothy('env create --name taken')
    expect(code).toBe(5)
    expect(stderr).toContain('choose another --name')
    await bothy('env delete taken')
  })

  test('what is not wanted any more the moment it was made goes at once, every time', async () => {
    for (let round = 0; round < 25; round++) {
      await bothy('env create --name brief --no-wait')
      if (round % 2 === 0) await bothy('env stop brief')
      expect((await bothy('env delete brief')).code).toBe(0)
    }
  })

  test('^C while waiting leaves the environment and says how to go on', async () => {
    world.runner.misbehave.startDelayMs = 60_000
    const stop = new AbortController()
    const { code, stderr } = await bothy('env create --name slow', {
      signal: stop.signal,
      onOutput: text => /disk|starting/.test(text) && stop.abort(),
    })
    delete world.runner.misbehave.startDelayMs
    expect(code).toBe(130)
    expect(stderr).toContain('bothy get environment slow --watch')
    expect(stderr).toContain('bothy env delete slow')
    expect((await bothy('get env slow -o name')).code).toBe(0)
    expect((await bothy('env delete slow')).code).toBe(0)
  })

  test.each([
    ['env create nowhere', 2, 'neither a git URL nor a folder'],
    ['env create file:///etc', 2, 'not a git URL that can be cloned'],
    ['env create --name Bad_Name', 2, 'name'],
    ['env create --image not//an:image', 2, 'spec.image'],
    ['env start missing', 4, 'missing'],
    ['exec missing -- true', 4, 'missing'],
    ['get pods', 2, "there is no kind 'pods'"],
    ['vesion', 2, 'hint: did you mean version?'],
    ['env lsit', 2, 'hint: did you mean list?'],
    ['env create --nam x', 2, 'hint: did you mean --name?'],
    ['stop x', 2, "hint: did you mean 'bothy env stop'?"],
    ['ssh x', 2, "hint: did you mean 'bothy shell'?"],
    ['config frobnicate', 2, 'hint: bothy config --help lists what there is'],
    ['env start', 2, 'hint: bothy env start --help'],
    ['get env -o xml', 2, 'Allowed choices are table, wide, json, yaml, name'],
    ['apply', 2, '--filename'],
    ['delete', 2, 'bothy delete KIND NAME'],
    ['apply -f /nonexistent.yaml', 4, 'there is no such file'],
    ['apply -f /etc', 2, 'that is a folder'],
  ])('%s: exit code %d', async (line, expected, said) => {
    const { code, stderr, stdout } = await bothy(line)
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' })
    expect(stderr).toContain(said)
    expect(stderr).not.toMatch(/\n {4}at /)
  })

  test('a wrong token, a wrong authority, no server: each says what to check', async () => {
    const token = await bothy('env list', { env: { BOTHY_TOKEN: 'bothy_wrong' } })
    expect(token).toMatchObject({ code: 3, stderr: expect.stringContaining('hint:') })
    const ca = join(dir, 'ca.pem')
    await writeFile(
      ca,
      world.server.pki.ca.replace(/[A-Z]/, letter => (letter === 'B' ? 'C' : letter)),
    )
    const gone = await bothy('env list', { env: { BOTHY_SERVER: 'https://127.0.0.1:1', BOTHY_TOKEN: 'x' } })
    expect(gone).toMatchObject({ code: 8, stderr: expect.stringContaining('127.0.0.1:1') })
    const untrusted = await bothy('env list', {
      env: { BOTHY_SERVER: world.server.url().replace('127.0.0.1', 'localhost'), BOTHY_TOKEN: 'x' },
    })
    expect(untrusted.code).not.toBe(0)
    expect(untrusted.stderr).not.toContain('unplanned')
  })

  test('an error that nobody planned for shows its stack only to those who ask', async () => {
    const connect = () => Promise.reject(new TypeError('oops\u001b[2J'))
    const quiet = await bothy('env list', { deps: { connect } })
    expect(quiet).toMatchObject({ code: 70 })
    expect(quiet.stderr).toContain('error: oops\\x1b[2J (unplanned)')
    expect(quiet.stderr).not.toContain('    at ')
    expect((await bothy('env list', { deps: { connect }, env: { BOTHY_DEBUG: '1' } })).stderr).toContain(
      '    at ',
    )
  })

  test('a reader that goes away ends it quietly', async () => {
    const stdout = Object.assign(new Sink(false), {
      _write: (_chunk: Buffer, _encoding: string, done: (error: Error) => void) =>
        done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
    })
    expect(await bothy('--help', { deps: { stdout } })).toMatchObject({ code: 141, stderr: '' })
    const endless = ['exec', 'pipe', '--', 'sh', '-c', 'yes']
    await bothy('env create --name pipe')
    const broken = Object.assign(new Sink(false), { _write: stdout._write })
    expect(await world.cli.run(endless, { deps: { stdout: broken } })).toMatchObject({ code: 141 })
    await bothy('env delete pipe')
  })
})
