// A second machine, behind a network that lets nothing in: it enrols, and its environments are entered all the same.
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { openNetwork, type TestNetwork } from '../support/host-network.ts'
import { testCacheDir, testImage } from '../support/image.ts'
import { type Program, type ProgramResult, runProgram, startProgram } from '../support/program.ts'
import { lacking, titled } from '../support/requirements.ts'
import { BOTHY, hostRemains, openStack, ROOT, type Stack, shortIdIn, testClass } from '../support/stack.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['nsenter'] })

describe.skipIf(reason !== undefined)(titled('a second runner', reason), () => {
  let network: TestNetwork
  let stack: Stack
  let dataDir: string
  let runner: Program | undefined

  /** The command line on the second machine, which knows no context. */
  const there = (...argv: string[]) =>
    startProgram([...network.enter, BOTHY, ...argv, '--data', dataDir], {
      cwd: dataDir,
      env: { ...stack.env, HOME: dataDir, XDG_CONFIG_HOME: join(dataDir, '.config') },
    })
  const startRunner = async () => {
    runner = there('runner', 'run')
    await runner.until(/relay tunnel up/)
  }

  beforeAll(async () => {
    network = await openNetwork({ outgoingOnly: true })
    stack = await openStack({ args: ['--listen', `${network.hostAddress}:0`] })
    dataDir = join(stack.folder, 'second')
    await mkdir(dataDir)
    await writeFile(
      join(dataDir, 'runner.yaml'),
      JSON.stringify({ images: { dir: join(testCacheDir(), 'images') } }),
    )
  })
  afterAll(async () => {
    await runner?.end()
    if (dataDir !== undefined) {
      const down = await there('down', '--all').result
      expect(down, down.stderr).toMatchObject({ code: 0 })
      expect(await hostRemains(dataDir)).toEqual([])
    }
    await stack?.close()
    await network?.close()
  })

  test('it enrols with a token that is good once', async () => {
    const token = join(dataDir, 'token')
    await writeFile(token, await stack.ok('runner token rack'), { mode: 0o600 })
    const enrol = () => there('runner', 'enroll', '--token-file', token).result
    const first = await enrol()
    expect(first, first.stderr).toMatchObject({ code: 0 })
    expect(first.stdout).toContain('default/rack')
    const second = await enrol()
    expect(second.code).not.toBe(0)
    expect(second.stderr).toMatch(/^ {2}hint: ./m)
  })

  test('it gets ready, and advertises no address', async () => {
    await startRunner()
    const ready = await stack.until('Runner', 'rack', found =>
      ['Ready', 'DriverReady'].every(
        type => found?.status.conditions.find(each => each.type === type)?.status === 'True',
      ),
    )
    expect(ready?.status.gateway).toBeUndefined()
    expect((await stack.get('Runner', 'local')).status.gateway?.url).toMatch(/^https:/)
    expect(await knock(network.insideAddress)).toBe('silence')
  })

  test('an environment of a class bound to it runs there, and is entered through the server', async () => {
    const { reference } = await testImage()
    await stack.ok('apply -f -', { stdin: testClass('remote', reference, { runner: 'rack' }) })
    await stack.ok(['env', 'create', join(ROOT, 'examples/hello'), '--class', 'remote', '--name', 'far'])
    expect((await stack.get('Environment', 'far')).spec.runner).toBe('rack')
    expect(await stack.ok('exec far -- git -C /workspaces/hello log --format=%s')).toContain('Files as they')
    const bytes = randomBytes(1 << 20)
    const echoed: ProgramResult = await stack.bothy('exec far -- cat', { stdin: bytes })
    expect(echoed.code).toBe(0)
    expect(echoed.bytes.equals(bytes)).toBe(true)
    expect(await stack.bothy(['exec', 'far', '--', 'sh', '-c', 'exit 42'])).toMatchObject({ code: 42 })
    expect(await stack.ok('logs far')).toContain('running, epoch 1')
  })

  test('what it makes is in its network, not in that of the host', async () => {
    const shortId = await shortIdIn(dataDir)
    const [here, inside] = await Promise.all([
      runProgram(['ip', '-o', 'link']),
      runProgram([...network.enter, 'ip', '-o', 'link']),
    ])
    expect(inside.stdout).toContain(`bty${shortId}`)
    expect(here.stdout).not.toContain(shortId)
  })

  test('it ends and comes back; what runs on it goes on', async () => {
    const marker = `86${randomBytes(3).readUIntBE(0, 3)}`
    await stack.ok([
      'exec',
      'far',
      '--',
      'sh',
      '-c',
      `setsid sleep ${marker} >/dev/null 2>&1 & echo $! > /run/p`,
    ])
    expect(await runner?.end()).toMatchObject({ code: 0 })
    const away = await stack.bothy('exec far -- true')
    expect(away.code).toBe(8)
    await startRunner()
    expect(await stack.ok(['exec', 'far', '--', 'sh', '-c', 'cat /proc/$(cat /run/p)/cmdline'])).toContain(
      marker,
    )
    expect((await stack.get('Environment', 'far')).status.epoch).toBe(1)
    await stack.ok('env delete far')
  })
})

/** Does anything answer there? A refusal would be an answer. */
function knock(host: string): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(9, host)
    const settle = (answer: string) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    const timer = setTimeout(() => settle('silence'), 1000)
    socket.once('connect', () => settle('connection'))
    socket.once('error', (error: NodeJS.ErrnoException) => settle(error.code ?? 'error'))
  })
}
