import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { runCli } from '../../../test/support/cli.ts'
import { LAUNCHER } from '../../main/paths.ts'
import type { Context } from '../config/contexts.ts'
import { saveContext } from '../config/file.ts'
import { configPath } from '../config/paths.ts'
import { entriesOf } from './entries.ts'
import { changeKubeconfig } from './file.ts'
import { mergeKubeconfig } from './merge.ts'
import { kubectlWhereabouts } from './whereabouts.ts'

const local: Context = {
  name: 'local',
  server: 'https://127.0.0.1:7766',
  ca: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
  token: 'bothy_secret',
  namespace: 'default',
}
const work: Context = {
  name: 'work',
  server: 'https://bothy.example.com',
  token: 'bothy_w',
  namespace: 'team',
}
const entries = entriesOf(local, { launcher: '/opt/bothy', namespace: 'default', env: {} })

// As people have it: another cluster, remarks, values that YAML would like to understand, lists as kubectl writes them.
const FOREIGN = `# mine
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${'QUJD'.repeat(100)}
    server: https://kind.example.com:6443   # on the laptop
  name: kind
contexts:
- context: {cluster: kind, user: kind, namespace: 007}
  name: kind
current-context: kind
kind: Config
preferences: {}
users:
- name: kind
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: aws
      args: [eks, "yes", 1_000, 1e3]
      env: null
`

const KEEP = { use: false, setNamespace: false, hasCurrentElsewhere: false }

describe('merging', () => {
  test('every line that was there stays, and a second time changes nothing', () => {
    const { text, what, isCurrent } = mergeKubeconfig(FOREIGN, 'F', entries, KEEP)
    expect({ what, isCurrent }).toEqual({ what: 'added', isCurrent: false })
    const lines = text.split('\n').map(line => line.replace(/ +#/, ' #'))
    for (const line of FOREIGN.split('\n')) {
      const spaced = line
        .replace(/ +#/, ' #')
        .replace(/([[{])(?=\S)/, '$1 ')
        .replace(/(?<=\S)([\]}])$/, ' $1')
      expect(
        lines.some(each => each === line || each === spaced),
        line,
      ).toBe(true)
    }
    expect(mergeKubeconfig(text, 'F', entries, KEEP)).toEqual({ text, what: 'unchanged', isCurrent: false })
    expect(parse(text)).toMatchObject({
      'current-context': 'kind',
      clusters: [{ name: 'kind' }, { name: 'bothy-local', cluster: { server: local.server } }],
    })
  })

  test('the current context is ours when asked for, or when there is none anywhere', () => {
    const current = (text: string, options: Partial<typeof KEEP>) =>
      parse(mergeKubeconfig(text, 'F', entries, { ...KEEP, ...options }).text)['current-context']
    expect(current(FOREIGN, { use: true })).toBe('bothy-local')
    expect(current('', {})).toBe('bothy-local')
    expect(current('current-context: ""\n', {})).toBe('bothy-local')
    expect(current('', { hasCurrentElsewhere: true })).toBeUndefined()
  })

  test('a new address, authority and program replace the old ones; a namespace that was chosen stays', () => {
    const old = entriesOf(
      { ...local, server: 'https://127.0.0.1:1' },
      { launcher: '/old', namespace: 'mine', env: { XDG_CONFIG_HOME: '/x' } },
    )
    let { text } = mergeKubeconfig(FOREIGN, 'F', old, KEEP)
    text = text
      .replace(
        'server: https://127.0.0.1:1',
        'server: https://127.0.0.1:1\n    insecure-skip-tls-verify: true',
      )
      .replace('exec:\n      apiVersion: client.authentication.k8s.io/v1beta1', 'token: abc\n    $&')
    const updated = mergeKubeconfig(text, 'F', entries, KEEP)
    expect(updated.what).toBe('updated')
    const { clusters, contexts, users } = parse(updated.text)
    expect(clusters[1].cluster).toEqual(entries.cluster)
    expect(contexts[1].context).toEqual({ ...entries.context, namespace: 'mine' })
    expect(users[1].user.token).toBeUndefined()
    expect(users[1].user.exec).toMatchObject({ command: '/opt/bothy', args: entries.user.exec.args })
    const asked = mergeKubeconfig(updated.text, 'F', entries, { ...KEEP, setNamespace: true })
    expect(parse(asked.text).contexts[1].context.namespace).toBe('default')
    // Variables that are not needed any more lead nowhere.
    expect(users[1].user.exec.env).toBeUndefined()
  })

  test('what kubectl adds when it rewrites the file is no difference', () => {
    const { text } = mergeKubeconfig('', 'F', entries, KEEP)
    const rewritten = text.replace(/^( +)command: .*$/m, '$&\n$1env: null')
    expect(mergeKubeconfig(rewritten, 'F', entries, KEEP)).toMatchObject({
      text: rewritten,
      what: 'unchanged',
    })
  })

  test.each(['', '# only a remark\n', '{}', 'clusters: []\nusers: null\ncontexts:\n', '{"clusters":[]}'])(
    'what kubectl leaves behind is filled: %j',
    text => {
      const filled = parse(mergeKubeconfig(text, 'F', entries, KEEP).text)
      expect(filled).toMatchObject({ apiVersion: 'v1', kind: 'Config', 'current-context': 'bothy-local' })
      expect(filled.users).toEqual([{ name: 'bothy-local', user: entries.user }])
    },
  )

  test('names that YAML would understand stay names', () => {
    for (const name of ['yes', '1e3', 'null', 'a: b', '#x', '-']) {
      const named = entriesOf({ ...local, name }, { launcher: '/a b/bothy', namespace: '007', env: {} })
      const { text } = mergeKubeconfig('', 'F', named, KEEP)
      const { contexts, users } = parse(text, { version: '1.1' })
      expect(contexts).toEqual([{ name: `bothy-${name}`, context: named.context }])
      expect(users[0].user).toEqual(named.user)
    }
  })

  test.each([
    ['clusters:\n- name: [\n', /read kubeconfig F: line \d: /],
    ['a: 1\n---\nb: 2\n', /line \d: /],
    ['kind: Pod\n', /line 1: kind must be Config, not Pod/],
    ['apiVersion: v1\nclusters: {a: b}\n', /line 2: clusters must be a list/],
    ['users:\n- x\n', /line 2: users must have fields/],
    ['- a\n', /line 1: must have fields/],
  ])('%j is refused, with its line', (text, message) => {
    expect(() => mergeKubeconfig(text, 'F', entries, KEEP)).toThrow(message)
  })
})

describe('files and the verbs', () => {
  let home: string
  let env: Record<string, string>
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'bothy-kubeconfig-'))
    env = { HOME: home }
    await saveContext(configPath(env), local, true)
    await saveContext(configPath(env), work, false)
  })
  afterEach(() => rm(home, { recursive: true, force: true }))

  const bothy = (line: string, more: Record<string, string> = {}) =>
    runCli(line.split(' '), { env: { ...env, ...more }, cwd: home })
  const file = () => join(home, '.kube', 'config')

  test('prints one for the current context, with no token in it', async () => {
    const { stdout } = await bothy('kubeconfig')
    expect(stdout).not.toContain('bothy_')
    const { clusters, contexts, users, ...rest } = parse(stdout)
    expect(rest).toEqual({ apiVersion: 'v1', kind: 'Config', 'current-context': 'bothy-local' })
    const data = clusters[0].cluster['certificate-authority-data']
    expect(Buffer.from(data, 'base64').toString()).toBe(local.ca)
    expect(contexts[0].context).toEqual({ cluster: 'bothy-local', user: 'bothy-local', namespace: 'default' })
    expect(users[0].user).toEqual({
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1beta1',
        command: LAUNCHER,
        args: ['credential', '--context', 'local'],
        installHint: expect.any(String),
        interactiveMode: 'Never',
        provideClusterInfo: false,
      },
    })
    expect(JSON.parse((await bothy('kubeconfig -o json')).stdout)).toEqual(parse(stdout))
  })

  test('another context, namespace and place of the contexts file', async () => {
    await saveContext(configPath({ XDG_CONFIG_HOME: join(home, 'x') }), work, true)
    const elsewhere = { XDG_CONFIG_HOME: join(home, 'x') }
    const { stdout } = await bothy('kubeconfig --context work -n other -o json', elsewhere)
    const { clusters, contexts, users } = JSON.parse(stdout)
    expect(clusters).toEqual([{ name: 'bothy-work', cluster: { server: work.server } }])
    expect(contexts[0].context.namespace).toBe('other')
    expect(users[0].user.exec.env).toEqual([{ name: 'XDG_CONFIG_HOME', value: join(home, 'x') }])
  })

  test.each([
    ['kubeconfig --context nowhere', {}, 4, 'there are local, work'],
    ['kubeconfig -n Not_A_Name', {}, 2, 'cannot be a namespace'],
    ['kubeconfig --use', {}, 2, '--write'],
    ['kubeconfig', { BOTHY_SERVER: 'https://other.example.com' }, 2, 'unset BOTHY_SERVER'],
    ['credential --context nowhere', {}, 4, 'there are local, work'],
    ['credential', { KUBERNETES_EXEC_INFO: 'x' }, 2, 'KUBERNETES_EXEC_INFO'],
    [
      'credential',
      { KUBERNETES_EXEC_INFO: '{"apiVersion":"client.authentication.k8s.io/v2"}' },
      6,
      'v1beta1',
    ],
  ])('%s with %j is refused', async (line, more, code, said) => {
    const refused = await bothy(line, more as Record<string, string>)
    expect(refused).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(said) })
    expect(refused.stderr).toContain('hint: ')
  })

  test('gives the token in the version that is asked for', async () => {
    for (const version of ['v1', 'v1beta1']) {
      const apiVersion = `client.authentication.k8s.io/${version}`
      const info = { KUBERNETES_EXEC_INFO: JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: {} }) }
      const { stdout } = await bothy('credential --context work', info)
      const status = { token: 'bothy_w' }
      expect(JSON.parse(stdout)).toEqual({ apiVersion, kind: 'ExecCredential', status })
    }
    // A token for another server is none for this one.
    const { stdout } = await bothy('credential', { BOTHY_TOKEN: 'bothy_o', BOTHY_SERVER: 'https://o' })
    expect(JSON.parse(stdout)).toMatchObject({
      apiVersion: 'client.authentication.k8s.io/v1beta1',
      status: { token: 'bothy_secret' },
    })
    expect((await bothy('--help')).stdout).not.toContain('credential')
  })

  test('--write makes a file for its owner alone, and does nothing the second time', async () => {
    const first = await bothy('kubeconfig --write')
    expect(first.stdout).toContain(`added context bothy-local to ${file()}; it is the current one\n`)
    expect((await stat(file())).mode & 0o777).toBe(0o600)
    const before = await stat(file())
    const again = await bothy('kubeconfig --write -o json')
    const done = { file: file(), context: 'bothy-local', result: 'unchanged', current: true }
    expect(JSON.parse(again.stdout)).toEqual(done)
    expect((await stat(file())).mtimeMs).toBe(before.mtimeMs)
    const second = await bothy('kubeconfig --write --context work')
    expect(second.stdout).toContain('kubectl --context bothy-work get environments')
    expect(await readdir(join(home, '.kube'))).toEqual(['config'])
    expect(parse(await readFile(file(), 'utf8'))['current-context']).toBe('bothy-local')
  })

  test('writes where kubectl would: the first of KUBECONFIG; a link stays one, a mode too', async () => {
    await mkdir(join(home, 'dotfiles'))
    const target = join(home, 'dotfiles', 'kube')
    await writeFile(target, FOREIGN)
    await chmod(target, 0o640)
    await symlink(target, join(home, 'link'))
    const more = { KUBECONFIG: `${join(home, 'link')}:${join(home, 'second')}` }
    await bothy('kubeconfig --write', more)
    expect(await readFile(target, 'utf8')).toContain('bothy-local')
    expect((await stat(target)).mode & 0o777).toBe(0o640)
    // The second one says what is current; a first one that said something would win.
    await writeFile(join(home, 'second'), FOREIGN)
    await bothy('kubeconfig --write', { KUBECONFIG: `new:${join(home, 'second')}` })
    expect(parse(await readFile(join(home, 'new'), 'utf8'))['current-context']).toBeUndefined()
    await bothy('kubeconfig --write relative --use')
    expect(parse(await readFile(join(home, 'relative'), 'utf8'))['current-context']).toBe('bothy-local')
  })

  test('a malformed file, or one that somebody else is changing, is left as it is', async () => {
    await mkdir(join(home, '.kube'))
    await writeFile(file(), 'clusters: [\n')
    expect(await bothy('kubeconfig --write')).toMatchObject({ code: 2 })
    expect(await readFile(file(), 'utf8')).toBe('clusters: [\n')
    await writeFile(file(), FOREIGN)
    await writeFile(`${file()}.lock`, '')
    const { code, stderr } = await bothy('kubeconfig --write')
    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringContaining(`remove ${file()}.lock`) })
    expect(await readFile(file(), 'utf8')).toBe(FOREIGN)
    expect((await readdir(join(home, '.kube'))).toSorted()).toEqual(['config', 'config.lock'])
  })

  test('root writes nothing into what is somebody else’s', async ({ skip }) => {
    if (process.getuid?.() === 0) {
      const { lchown } = await import('node:fs/promises')
      await lchown(home, 12_345, 12_345)
    } else skip('needs root')
    const write = (path: string) => changeKubeconfig(path, { isRoot: true }, () => 'x')
    for (const path of [file(), join(home, 'config')]) {
      await expect(write(path)).rejects.toMatchObject({
        code: 'kubeconfig-foreign',
        hint: expect.any(String),
      })
    }
    await writeFile(join(home, 'mine'), 'a')
    await symlink(join(home, 'mine'), join(home, 'link'))
    await expect(write(join(home, 'link'))).rejects.toMatchObject({ code: 'kubeconfig-foreign' })
  })

  describe('where kubectl stands', () => {
    const where = (options: { context?: string; namespace?: string }, more: Record<string, string> = {}) =>
      kubectlWhereabouts(options, { ...env, ...more }).then(({ options: found }) => found)
    const kube = (text: string) => mkdir(join(home, '.kube')).then(() => writeFile(file(), text))

    test('without a kubeconfig, or in a foreign context, ours is current', async () => {
      expect(await where({})).toEqual({})
      await kube(FOREIGN)
      expect(await where({ namespace: 'mine' })).toEqual({ namespace: 'mine' })
      expect(await where({ context: 'work' })).toEqual({ context: 'work' })
    })

    test('a context that asks us for its token is ours, with its namespace', async () => {
      await bothy('kubeconfig --write --context work -n other')
      expect(await where({})).toEqual({ context: 'work', namespace: 'other' })
      expect(await where({ namespace: 'mine' })).toEqual({ context: 'work', namespace: 'mine' })
      await bothy('kubeconfig --write')
      expect(await where({ context: 'bothy-local' })).toEqual({ context: 'local', namespace: 'default' })
      await saveContext(configPath({ XDG_CONFIG_HOME: join(home, 'x') }), work, true)
      await bothy('kubeconfig --write --use', { XDG_CONFIG_HOME: join(home, 'x') })
      const found = await kubectlWhereabouts({}, env)
      expect(found.env.XDG_CONFIG_HOME).toBe(join(home, 'x'))
    })

    test('so is one that leads to a server of ours, however it was made, in any of its files', async () => {
      await kube(FOREIGN.replace('https://kind.example.com:6443', 'https://bothy.example.com:443/'))
      expect(await where({})).toEqual({ context: 'work', namespace: '007' })
      await writeFile(join(home, 'first'), 'current-context: kind\n')
      const KUBECONFIG = `${join(home, 'first')}:${join(home, 'absent')}:${file()}`
      expect(await where({}, { KUBECONFIG })).toEqual({ context: 'work', namespace: '007' })
    })

    test('a context of ours that is gone is a fault, not another one', async () => {
      await kube('current-context: bothy-gone\n')
      const gone = entriesOf({ ...local, name: 'gone' }, { launcher: '/opt/bothy', namespace: 'a', env: {} })
      await writeFile(file(), mergeKubeconfig('', 'F', gone, KEEP).text)
      await expect(where({})).rejects.toMatchObject({ code: 'context-unknown' })
    })
  })
})
