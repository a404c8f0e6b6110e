// From nothing to a shell in an environment, and through its whole life, as a newcomer does it.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { findProcess, processesOf } from '../support/processes.ts'
import { runProgram } from '../support/program.ts'
import { lacking, titled } from '../support/requirements.ts'
import { openStack, ROOT, type Stack } from '../support/stack.ts'

const reason = whyNoSandboxes()

describe.skipIf(reason !== undefined)(titled('the main job', reason), () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await openStack()
    await stack.ok(['env', 'create', join(ROOT, 'examples/hello'), '--name', 'hello'])
  })
  afterAll(() => stack?.close())

  const hello = (...argv: string[]) => stack.bothy(['exec', 'hello', '--', ...argv])
  const epoch = async () => (await stack.get('Environment', 'hello')).status.epoch

  test('a folder becomes an environment with one commit, and its tests pass in it', async () => {
    const log = await hello('git', '-C', '/workspaces/hello', 'log', '--format=%an|%s')
    expect(log).toMatchObject({ code: 0, stdout: 'Bothy|Files as they were sent\n' })
    const dirty = await hello('git', '-C', '/workspaces/hello', 'status', '--porcelain')
    expect(dirty).toMatchObject({ code: 0, stdout: '' })
    const tests = await stack.bothy('exec hello --cwd /workspaces/hello -- tests/run')
    expect(tests, tests.stderr).toMatchObject({ code: 0 })
  })

  test('with --no-wait it is declared, its files are sent, and it comes up by itself', async () => {
    const name = await stack.ok([
      ...['env', 'create', join(ROOT, 'examples/hello'), '--no-wait', '--name', 'later', '-o', 'name'],
    ])
    expect(name).toBe('later')
    await stack.until('Environment', 'later', found => found?.status.phase === 'Running')
    expect(await stack.ok('exec later -- cat /workspaces/hello/README.md')).toContain('hello')
    await stack.ok('env delete later')
  })

  test('exit codes of commands are those of exec', async () => {
    expect(await hello('true')).toMatchObject({ code: 0, stdout: '', stderr: '' })
    expect(await hello('false')).toMatchObject({ code: 1 })
    expect(await hello('sh', '-c', 'echo out; echo err >&2; exit 42')).toMatchObject({
      code: 42,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect(await hello('sh', '-c', 'kill -TERM $$')).toMatchObject({ code: 128 + 15 })
    const missing = await hello('no-such-program')
    expect(missing.code).toBe(127)
    expect(missing.stderr).toContain('no-such-program')
  })

  test('standard input and output carry any bytes', async () => {
    const bytes = randomBytes(1 << 20)
    const { code, bytes: echoed } = await stack.bothy('exec hello -- cat', { stdin: bytes })
    expect(code).toBe(0)
    expect(echoed.equals(bytes)).toBe(true)
    const unread = await stack.bothy('exec hello -- true', { stdin: bytes })
    expect(unread.code).toBe(0)
  })

  test('a command starts in the folder and as the user that are asked for', async () => {
    expect(await stack.ok('exec hello --cwd /var/tmp -- pwd')).toBe('/var/tmp')
    expect(await stack.ok('exec hello --user nobody -- id -un')).toBe('nobody')
    expect(await stack.ok('exec hello --user 12:34 -- sh -c id')).toMatch(/^uid=12\S* gid=34/)
    const nowhere = await stack.bothy('exec hello --cwd /no/such -- pwd')
    expect(nowhere.code).not.toBe(0)
    expect(nowhere.stderr).toContain('/no/such')
  })

  const noScript = lacking({ programs: ['script'] })
  test.skipIf(noScript)(titled('-t gives the command a terminal of the same size', noScript), async () => {
    // `script` knows no argv: these words need no quotes.
    const line = `stty rows 33 cols 101; exec ${join(ROOT, 'bothy')} exec hello -t -- bash -i`
    const { code, stdout } = await runProgram(
      ['script', '--quiet', '--return', '--command', line, '/dev/null'],
      {
        env: { ...stack.env, TERM: 'xterm' },
        stdin: 'stty size; tty; echo $TERM is $((6*7))\nexit 5\n',
      },
    )
    expect(stdout).toContain('33 101')
    expect(stdout).toContain('/dev/pts/')
    expect(stdout).toContain('xterm is 42')
    expect(code).toBe(5)
  })

  test('a shell starts in the repository, and ends as its last command did', async () => {
    const shell = await stack.bothy('shell hello', {
      stdin: 'pwd\ngit rev-parse --abbrev-ref HEAD\nexit 7\n',
    })
    expect(shell).toMatchObject({ code: 7, stdout: '/workspaces/hello\nmain\n' })
  })

  test('root inside is nobody outside', async () => {
    expect(await stack.ok('exec hello -- id -u')).toBe('0')
    const { uid } = (await stack.get('Environment', 'hello')).metadata
    const marker = `86${randomBytes(3).readUIntBE(0, 3)}`
    const sleeping = stack.open(['exec', 'hello', '--', 'sh', '-c', `echo up; exec sleep ${marker}`])
    await sleeping.until(/up/)
    // It says so a moment before it becomes the program that is looked for.
    const pid = await vi.waitUntil(() => findProcess('sleep', marker), { timeout: 10_000 })
    expect(await readFile(`/proc/${pid}/cgroup`, 'utf8')).toContain(`/bothy-${await stack.shortId()}/${uid}`)
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    const ids = [...status.matchAll(/^[UG]id:\t(.+)$/gm)].flatMap(([, list]) => list!.split('\t').map(Number))
    expect(ids).toHaveLength(8)
    // Above every id that the host gives to anybody.
    for (const id of ids) expect(id).toBeGreaterThanOrEqual(1_879_048_192)
    await sleeping.end()
    // Whoever ran it is gone, and so is what was run.
    await expect.poll(() => findProcess('sleep', marker)).toBeUndefined()
  })

  test('packages can be installed where a mirror is reachable', async context => {
    const mirror = await stack.bothy(['exec', 'hello', '--', 'cat', '/etc/apt/sources.list'])
    const uri = /^deb (?:\[.*?\] )?(\S+) (\S+)/m.exec(mirror.stdout)
    const url = `${uri?.[1]}/dists/${uri?.[2]}/InRelease`
    const reachable = await fetch(url, { signal: AbortSignal.timeout(5000) }).then(
      answer => answer.ok,
      () => false,
    )
    if (!reachable) return context.skip(`${url} is not reachable from this machine`)
    const update = await hello('apt-get', '-q', 'update')
    expect(update, update.stdout + update.stderr).toMatchObject({ code: 0 })
    expect(update.stdout + update.stderr).not.toMatch(/^(W|E):/m)
  })

  test('logs tell what happened, and go on while it happens', async () => {
    const logs = await stack.ok('logs hello')
    expect(logs).toMatch(/^\d{4}-\S+Z content: /m)
    expect((await stack.ok('logs hello --tail 1')).split('\n')).toHaveLength(1)
    const following = stack.open('logs hello -f --tail 1')
    await following.until(/running, epoch/)
    await stack.ok('env stop hello')
    await stack.ok('env start hello')
    await following.until(/running, epoch 2/)
    await following.end('SIGINT')
  })

  test('explain says what was asked for, what is, and why', async () => {
    const explained = await stack.ok('explain environment/hello')
    expect(explained).toContain('It should be Running and is.')
    expect(explained).toContain('bothy shell hello')
  })

  test.each([
    'env list',
    'env get hello',
    'get environments',
    'get environment/hello',
    'get environmentclasses',
    'get runners',
  ])('%s prints every format', async line => {
    const print = (format: string) => stack.ok(`${line} -o ${format}`)
    const table = await print('table')
    expect(table.split('\n')[0]).toMatch(/NAME .*AGE/)
    expect((await print('wide')).split('\n')[0]).toContain(table.split('\n')[0]!.trimEnd())
    const json = JSON.parse(await print('json'))
    const first = json.items?.[0] ?? json
    expect(first.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    expect(await print('yaml')).toContain(first.metadata.uid)
    expect((await print('name')).split('\n')[0]).toMatch(
      line.startsWith('env ') ? /^\w+$/ : /^\w+\.bothy\.dev\/\w+$/,
    )
  })

  test('stop keeps files, start raises the epoch', async () => {
    const before = await epoch()
    const { digest } = (await stack.get('Environment', 'hello')).status.image!
    await stack.ok([
      'exec',
      'hello',
      '--',
      'sh',
      '-c',
      'echo kept > /workspaces/hello/new; echo too > /root/x',
    ])
    const uid = (await stack.get('Environment', 'hello')).metadata.uid
    expect(await stack.ok('env stop hello')).toMatch(/^hello is stopped after /)
    expect(await processesOf(uid)).toEqual([])
    const refused = await stack.bothy('exec hello -- true')
    expect(refused.code).toBe(8)
    expect(refused.stderr).toContain('bothy env start')
    expect(await stack.ok('env start hello')).toMatch(/^hello is running after /)
    expect(await stack.ok('exec hello -- cat /workspaces/hello/new /root/x')).toBe('kept\ntoo')
    const after = await stack.get('Environment', 'hello')
    expect(after.status.epoch).toBe(before + 1)
    expect(after.status.image?.digest).toBe(digest)
    // Asking for what is so already changes nothing.
    await stack.ok('env start hello')
    expect(await epoch()).toBe(before + 1)
  })

  test('delete leaves nothing', async () => {
    await stack.ok('env create --empty --name short')
    const { uid } = (await stack.get('Environment', 'short')).metadata
    await stack.ok('exec short -- touch /workspaces/x')
    expect(await stack.ok('env delete short')).toMatch(/^short is deleted after /)
    expect(await stack.bothy('env get short')).toMatchObject({ code: 4 })
    expect(await processesOf(uid)).toEqual([])
    const left = await runProgram(['find', stack.dataDir, '/run/bothy', '-path', `*${uid}*`])
    expect(left.stdout).toBe('')
  })
})
