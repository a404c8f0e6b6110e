// The program in this process, in front of a real server and a real runner whose sandboxes are plain child processes.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { type Cli, openCli, Sink } from '../../test/support/cli.ts'
import { type RunnerFixture, startRunner } from '../../test/support/runner.ts'
import { type ServerFixture, startServer } from '../../test/support/server.ts'
import { Fault } from '../lib/fault.ts'

let server: ServerFixture
let runner: RunnerFixture
let cli: Cli
let dir: string
beforeAll(async () => {
  server = await startServer()
  dir = await mkdtemp(join(tmpdir(), 'bothy-program-'))
  const connect = (token: string) => openCli({ url: server.url(), ca: server.pki.ca, token })
  const admin = await connect(server.tokens.admin)
  const { stdout } = await admin.run(['runner', 'token', 'here'])
  await admin.close()
  runner = await startRunner(server, stdout.trim())
  cli = await connect(server.tokens.ada)
})
afterAll(async () => {
  await cli?.close()
  await runner?.close()
  await server?.close()
  await rm(dir, { recursive: true, force: true })
})

const bothy = (line: string, call?: Parameters<Cli['run']>[1]) => cli.run(line.split(' '), call)

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
      cli.run(['exec', 'life', '--', ...argv], stdin === undefined ? {} : { stdin })
    expect(await run(['sh', '-c', 'echo out; echo err >&2; exit 43'])).toEqual({
      code: 43,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect((await run(['printf', '%s|', 'a b', '-n', '--', "it's"])).stdout).toBe("a b|-n|--|it's|")
    expect((await run(['sh', '-c', 'kill -TERM $$'])).code).toBe(143)
    expect((await run(['cat'], 'hello')).stdout).toBe('hello')
    const all = Buffer.from(Array.from({ length: 65_536 }, (_, index) => index % 256))
    expect((await run(['sha256sum'], all)).stdout).toMatch(/^[0-9a-f]{64}/)
    const stdout = new Sink(false)
    await cli.run(['exec', 'life', '--', 'cat'], { stdin: all, deps: { stdout } })
    expect(stdout.bytes.equals(all)).toBe(true)
  })

  test('exec knows --cwd; -t gives a terminal of this one’s size and its TERM, and raw mode ends with it', async () => {
    expect((await bothy('exec life --cwd /tmp -- pwd')).stdout).toMatch(/tmp\n$/)
    const modes: boolean[] = []
    const stdin = Object.assign(new PassThrough(), {
      isTTY: true,
      setRawMode: (raw: boolean) => modes.push(raw),
    })
    const { code, stdout } = await cli.run(
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
    expect((await cli.run(['exec', 'life', '--', 'cat'], { stdin })).stdout).toBe('')
    expect(stdin.readableLength).toBeGreaterThan(0)
  })

  test('^C ends a command, the exit code says so', async () => {
    const stop = new AbortController()
    const { code, stderr } = await bothy('exec life -- sh -c :;echo;sleep', { signal: stop.signal }).then(
      () =>
        cli.run(['exec', 'life', '--', 'sh', '-c', 'echo ready; sleep 600'], {
          signal: stop.signal,
          onOutput: text => text.includes('ready') && stop.abort(),
        }),
    )
    expect([130, 137, 143]).toContain(code)
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
    expect((await bothy('env delete life')).stdout).toMatch(/^life is deleted after /)
    const gone = await bothy('env get life')
    expect(gone).toMatchObject({ code: 4, stdout: '' })
    expect(gone.stderr).toContain('get environment default/life: there is no such (object-unknown)')
  })
})

describe('content', () => {
  test('a folder is sent, is a repository inside, and is left as it was', async () => {
    const folder = join(dir, 'Hello')
    await writeFile(join(await mkdtempAt(folder), 'file.txt'), 'from here')
    const { code, stdout, stderr } = await cli.run(['env', 'create', './Hello', '--name', 'sent'], {
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
      (await cli.run(['env', 'create', folder, '--name', 'quick', '--no-wait', '-o', 'name'])).stdout,
    ).toBe('quick\n')
    expect((await bothy('env start quick')).stdout).toMatch(/^quick is running/)
    await bothy('env delete quick')
  })

  async function mkdtempAt(path: string): Promise<string> {
    const { mkdir } = await import('node:fs/promises')
    await mkdir(path, { recursive: true })
    return path
  }
})

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

  test('a passing failure is tried again, and then waiting was worth it', async () => {
    runner.misbehave.failEnsure = [new Fault('unavailable', 'host-busy', 'the host is busy')]
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

  test('^C while waiting leaves the environment and says how to go on', async () => {
    runner.misbehave.startDelayMs = 60_000
    const stop = new AbortController()
    const { code, stderr } = await bothy('env create --name slow', {
      signal: stop.signal,
      onOutput: text => /disk|starting/.test(text) && stop.abort(),
    })
    delete runner.misbehave.startDelayMs
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
    ['vesion', 2, 'Did you mean version?'],
    ['env lsit', 2, 'Did you mean list?'],
    ['env create --nam x', 2, 'Did you mean --name?'],
    ['get env -o xml', 2, 'Allowed choices are table, wide, json, yaml, name'],
    ['apply', 2, '--filename'],
    ['delete', 2, 'bothy delete KIND NAME'],
    ['apply -f /nonexistent.yaml', 4, 'ENOENT'],
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
      server.pki.ca.replace(/[A-Z]/, letter => (letter === 'B' ? 'C' : letter)),
    )
    const gone = await bothy('env list', { env: { BOTHY_SERVER: 'https://127.0.0.1:1', BOTHY_TOKEN: 'x' } })
    expect(gone).toMatchObject({ code: 8, stderr: expect.stringContaining('127.0.0.1:1') })
    const untrusted = await bothy('env list', {
      env: { BOTHY_SERVER: server.url().replace('127.0.0.1', 'localhost'), BOTHY_TOKEN: 'x' },
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
    expect(await cli.run(endless, { deps: { stdout: broken } })).toMatchObject({ code: 141 })
    await bothy('env delete pipe')
  })
})

describe('objects of any kind', () => {
  const manifest = (spec: string) =>
    `apiVersion: bothy.dev/v1alpha1\nkind: EnvironmentClass\nmetadata: { name: medium, labels: { size: m } }\nspec: ${spec}\n`
  const admin = (line: string, stdin = '') =>
    bothy(line, { stdin, env: { BOTHY_TOKEN: server.tokens.admin } })

  test('apply creates, changes what changed, and removes what is no longer said', async () => {
    expect((await admin('apply -f -', manifest('{ image: a, memory: 8Gi, description: x }'))).stdout).toBe(
      'environmentclass.bothy.dev/medium created\n',
    )
    expect((await admin('apply -f -', manifest('{ image: a, memory: 8Gi, description: x }'))).stdout).toBe(
      'environmentclass.bothy.dev/medium unchanged\n',
    )
    const { stdout } = await admin('apply -f - -o json', manifest('{ image: b, memory: 8Gi }'))
    expect(JSON.parse(stdout).spec).toEqual({ image: 'b', memory: '8Gi', disk: '20Gi', pids: 4096 })
    expect((await admin('get class -l size=m -o name')).stdout).toBe('environmentclass.bothy.dev/medium\n')
    expect((await admin('delete -f -', manifest('{}'))).stdout).toBe(
      'environmentclass default/medium deleted\n',
    )
    expect((await admin('delete class medium --ignore-not-found')).code).toBe(0)
    expect((await admin('delete class medium')).code).toBe(4)
  })

  test('a malformed manifest changes nothing and says where', async () => {
    const both = `${manifest('{ image: a }')}---\nkind: [\n`
    const { code, stderr } = await admin('apply -f -', both)
    expect(code).toBe(2)
    expect(stderr).toMatch(/read standard input:\d+:\d+: /)
    expect((await admin('get class medium')).code).toBe(4)
    const wrong = await admin('apply -f -', manifest('{ image: a, memry: 8Gi }'))
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('memry') })
  })

  test('the manifests that are shipped along are good ones', async () => {
    const folder = new URL('../../examples/manifests/', import.meta.url).pathname
    const files = ['environment-class.yaml', 'runner.yaml', 'empty-environment.yaml', 'environment.yaml']
    for (const file of files) {
      const { code, stderr } = await admin(`apply -f ${folder}${file}`)
      expect({ file, code, stderr }).toEqual({ file, code: 0, stderr: '' })
    }
    const { stdout } = await admin('get runners -o name')
    expect(stdout).toContain('runner.bothy.dev/rack-1')
    for (const file of files.toReversed()) await admin(`delete -f ${folder}${file}`)
  })

  test('a member may not change classes, and is told so', async () => {
    const { code, stderr } = await bothy('apply -f -', { stdin: manifest('{ image: a }') })
    expect(code).toBe(3)
    expect(stderr).toContain('error: ')
  })

  test('watch shows what there is and every change, and ends quietly', async () => {
    const stop = new AbortController()
    let seen = ''
    const watching = bothy('get env -w', {
      signal: stop.signal,
      onOutput: text => {
        seen += text
        if (/watched +Stopped/.test(seen)) stop.abort()
      },
    })
    await bothy('env create --name watched')
    await bothy('env stop watched')
    const { code, stdout } = await watching
    expect(code).toBe(0)
    expect(stdout.match(/NAME/g)?.length ?? 0).toBeLessThanOrEqual(1)
    expect(stdout).toMatch(/watched +Running[\s\S]*watched +Stopping[\s\S]*watched +Stopped/)
    await bothy('env delete watched')
    const documents = parseAllDocuments((await bothy('get class -o yaml')).stdout)
    expect(documents).toHaveLength(1)
  })

  test('what a server says is never obeyed by a terminal', async () => {
    const evil = 'x\u001b]0;owned\u0007'
    await admin('apply -f -', manifest(JSON.stringify({ image: 'a', description: evil })))
    for (const line of ['get class medium -o yaml', 'get class medium -o json', 'explain class/medium']) {
      const { stdout } = await bothy(line, { tty: true, env: { NO_COLOR: '1' } })
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
    }
    expect(JSON.parse((await bothy('get class medium -o json', { tty: true })).stdout).spec.description).toBe(
      evil,
    )
    await admin('delete class medium')
  })
})

describe('help and completion', () => {
  test('every verb explains itself with an example', async () => {
    const { createProgram } = await import('./program.ts')
    const { runCli } = await import('../../test/support/cli.ts')
    const program = createProgram({ stdout: new Sink(false), stderr: new Sink(false) } as never)
    const lines = (command: typeof program, path: string[]): string[][] =>
      command.commands.flatMap(each => {
        const here = [...path, each.name()]
        return each.name().startsWith('__') ? [] : [here, ...lines(each, here)]
      })
    const all = lines(program, [])
    expect(all.length).toBeGreaterThan(25)
    for (const path of all) {
      const { code, stdout } = await runCli([...path, '--help'])
      expect(code).toBe(0)
      expect(stdout, path.join(' ')).toMatch(/^Usage: bothy .+\n\n[A-Z]/)
      if (path[0] !== 'config' || path.length === 1)
        expect(stdout, path.join(' ')).toContain('Examples:\n  $ ')
    }
  })

  test('completes verbs, options, their values, kinds and names', async () => {
    await bothy('env create --name compl')
    const complete = async (...words: string[]) =>
      (await cli.run(['__complete', '--', ...words])).stdout.trim().split('\n')
    expect(await complete('')).toEqual(expect.arrayContaining(['env', 'exec', 'shell', 'explain', 'up']))
    expect(await complete('')).not.toContain('__complete')
    expect(await complete('env', '')).toEqual(expect.arrayContaining(['create', 'start', 'delete']))
    expect(await complete('exec', '')).toEqual(['compl'])
    expect(await complete('env', 'stop', '-n', 'default', '')).toEqual(['compl'])
    expect(await complete('env', 'create', '--class', '')).toEqual(['small'])
    expect(await complete('get', 'env', '-o', '')).toEqual(['table', 'wide', 'json', 'yaml', 'name'])
    expect(await complete('get', '')).toContain('environments')
    expect(await complete('get', 'env', '')).toEqual(['compl'])
    expect(await complete('explain', 'environment/')).toEqual(['environment/compl'])
    expect(await complete('env', 'create', '--')).toContain('--image')
    expect(await complete('env', 'create', '')).toEqual([':files'])
    expect(await complete('exec', 'compl', '--', '')).toEqual([''])
    expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish'])
    await bothy('env delete compl')
  })

  test('contexts are listed without their tokens, and chosen', async () => {
    const listed = await bothy('config get-contexts')
    expect(listed.stdout).toMatch(/CURRENT +NAME +SERVER +NAMESPACE\n\* +test +https:\/\/\S+ +default\n/)
    expect(listed.stdout).not.toContain('bothy_')
    expect((await bothy('config current-context')).stdout).toBe('test\n')
    expect((await bothy('config use-context test')).stdout).toBe('Switched to context test.\n')
    expect((await bothy('config use-context nowhere')).code).toBe(4)
  })
})
