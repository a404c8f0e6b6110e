// The program in this process, in front of a real server and a real runner whose sandboxes are plain child processes.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type CliCall, Sink } from '../../test/support/cli.ts'
import { type CliWorld, openCliWorld } from '../../test/support/cli-world.ts'

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

describe('a life', () => {
  test('create waits until it runs, and says where the time went and how to go on', async () => {
    const { code, stdout, stderr } = await bothy('env create --name life')
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(stdout).toMatch(/^life is running after .* \(.*start .*\)\n {2}enter: {2}bothy shell life\n$/)
    expect(stderr).toMatch(/^(waiting|image|disk|start)/m)
  })

  test('list and get show it in every form', async () => {
    expect((await bothy('env list')).stdout).toMatch(
      /^NAME +PHASE +CLASS +RUNNER +AGE\nlife +Running +small +here +\d+s\n$/,
    )
    expect((await bothy('env list -o name')).stdout).toBe('life\n')
    expect((await bothy('get envs -o name')).stdout).toBe('environment.bothy.dev/life\n')
    expect((await bothy('get environment/life -o wide')).stdout).toMatch(
      /EPOCH +IMAGE +COMMIT\nlife .* 1 +oci:tiny +<none>\n$/,
    )
    expect(parse((await bothy('env get life -o yaml')).stdout)).toMatchObject({
      kind: 'Environment',
      status: { phase: 'Running' },
    })
    expect(JSON.parse((await bothy('get env -o json')).stdout)).toMatchObject({
      kind: 'List',
      items: [{ metadata: { name: 'life' } }],
    })
    const both = await bothy('get env/life runner/here -o name')
    expect(both.stdout).toBe('environment.bothy.dev/life\nrunner.bothy.dev/here\n')
  })

  test('explain says what was asked, what is, why, and what comes next', async () => {
    const { stdout } = await bothy('explain environment/life')
    expect(stdout).toContain('It should be Running and is.')
    expect(stdout).toMatch(/desired +Running +Running/)
    expect(stdout).toMatch(/✓ Ready is True: SandboxRunning \(for \d+s\)/)
    expect(stdout).toMatch(/STAGE +TOOK\n/)
    expect(stdout).toContain('Enter it: bothy shell life')
    const { object, ...explanation } = JSON.parse((await bothy('explain env life -o json')).stdout)
    expect(object.metadata.name).toBe('life')
    expect(explanation.conditions[0]).toMatchObject({ type: expect.any(String), ageMs: expect.any(Number) })
  })

  test('exec passes exit code, arguments, streams and bytes', async () => {
    const run = (argv: string[], stdin?: string | Buffer) =>
      world.cli.run(['exec', 'life', '--', ...argv], stdin === undefined ? {} : { stdin })
    expect(await run(['sh', '-c', 'echo out; echo err >&2; exit 43'])).toEqual({
      code: 43,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect((await run(['printf', '%s|', 'a b', '-n', '--', "it's"])).stdout).toBe("a b|-n|--|it's|")
    const ended = await run(['sh', '-c', 'kill -TERM $$'])
    expect(ended).toMatchObject({ code: 143, stderr: expect.stringMatching(/^ended by SIGTERM, .+\n$/) })
    expect((await run(['cat'], 'hello')).stdout).toBe('hello')
    const all = Buffer.from(Array.from({ length: 65_536 }, (_, index) => index % 256))
    expect((await run(['sha256sum'], all)).stdout).toMatch(/^[0-9a-f]{64}/)
    const stdout = new Sink(false)
    await world.cli.run(['exec', 'life', '--', 'cat'], { stdin: all, deps: { stdout } })
    expect(stdout.bytes.equals(all)).toBe(true)
  })

  test('exec knows --cwd; -t gives a terminal of this one’s size and its TERM, and raw mode ends with it', async () => {
    expect((await bothy('exec life --cwd /tmp -- pwd')).stdout).toMatch(/tmp\n$/)
    const modes: boolean[] = []
    const stdin = Object.assign(new PassThrough(), {
      isTTY: true,
      setRawMode: (raw: boolean) => modes.push(raw),
    })
    const { code, stdout } = await world.cli.run(
      ['exec', 'life', '-t', '--', 'sh', '-c', 'stty size; echo $TERM; exit 3'],
      {
        stdin,
        tty: true,
      },
    )
    expect({ code, stdout: stdout.replaceAll('\r', ''), modes }).toEqual({
      code: 3,
      stdout: '30 100\nxterm\n',
      modes: [true, false],
    })
  })

  test('a terminal that is not handed over is not read', async () => {
    const stdin = Object.assign(new PassThrough(), { isTTY: true })
    stdin.write('typed for somebody else\n')
    expect((await world.cli.run(['exec', 'life', '--', 'cat'], { stdin })).stdout).toBe('')
    expect(stdin.readableLength).toBeGreaterThan(0)
  })

  test('^C ends a command, the exit code says so', async () => {
    const stop = new AbortController()
    const { code, stderr } = await bothy('exec life -- sh -c :;echo;sleep', { signal: stop.signal }).then(
      () =>
        world.cli.run(['exec', 'life', '--', 'sh', '-c', 'echo ready; sleep 600'], {
          signal: stop.signal,
          onOutput: text => text.includes('ready') && stop.abort(),
        }),
    )
    expect(code).toBe(130)
    expect(stderr).not.toContain('unplanned')
  })

  test('shell runs what it is told on standard input', async () => {
    const { code, stdout } = await bothy('shell life', { stdin: 'echo in the shell\nexit 5\n' })
    expect({ code, stdout }).toEqual({ code: 5, stdout: expect.stringContaining('in the shell\n') })
  })

  test('logs tell what happened', async () => {
    expect((await bothy('logs life')).stdout).toContain('running, epoch 1')
    expect((await bothy('logs life --tail 1')).stdout.trim().split('\n')).toHaveLength(1)
  })

  test('stop, start again, delete: each waits for its outcome', async () => {
    expect((await bothy('env stop life')).stdout).toMatch(/^life is stopped after /)
    expect((await bothy('exec life -- true')).code).toBe(8)
    expect((await bothy('env start life')).stdout).toMatch(/^life is running after .* \(.*start .*\)\n$/)
    expect((await bothy('env start life')).stdout).toMatch(/^life is running after [^(]*\n$/)
    expect((await bothy('env get life -o json')).stdout).toContain('"epoch": 2')
    const mixed = await bothy('env start missing life lost')
    expect(mixed).toMatchObject({ code: 4, stdout: expect.stringMatching(/^life is running/) })
    expect(mixed.stderr).toMatch(/"missing" not found[\s\S]*"lost" not found/)
    const read = Object.keys(JSON.parse((await bothy('env get life -o json')).stdout))
    expect(read).toEqual(['apiVersion', 'kind', 'metadata', 'spec', 'status'])
    expect((await bothy('env delete life')).stdout).toMatch(/^life is deleted after /)
    const gone = await bothy('env get life')
    expect(gone).toMatchObject({ code: 4, stdout: '' })
    expect(gone.stderr).toContain('get environment default/life: it does not exist (object-unknown)')
  })
})

describe('content', () => {
  test('a folder is sent, is a repository inside, and is left as it was', async () => {
    const folder = join(dir, 'Hello')
    await writeFile(join(await mkdtempAt(folder), 'file.txt'), 'from here')
    const { code, stdout, stderr } = await world.cli.run(['env', 'create', './Hello', '--name', 'sent'], {
      cwd: dir,
    })
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('files:  /workspaces/hello')
    const inside = await bothy('shell sent', { stdin: 'cat file.txt; echo; git log --format=%s\n' })
    expect(inside.stdout).toContain('from here\nFiles as they were sent\n')
    await bothy('env delete sent')
  })

  test('--no-wait returns at once, but not before the files are sent', async () => {
    const folder = await mkdtempAt(join(dir, 'quick'))
    await writeFile(join(folder, 'a'), 'a')
    expect(
      (await world.cli.run(['env', 'create', folder, '--name', 'quick', '--no-wait', '-o', 'name'])).stdout,
    ).toBe('quick\n')
    expect((await bothy('env start quick')).stdout).toMatch(/^quick is running/)
    await bothy('env delete quick')
  })

  async function mkdtempAt(path: string): Promise<string> {
    await mkdir(path, { recursive: true })
    return path
  }
})
