import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type Config, formatConfig, resolveConnection } from './contexts.ts'
import { loadConfig, loadContext, saveConfig, saveContext } from './file.ts'
import { parseConfig } from './parse.ts'
import { configPath, configVariables, defaultDataDir } from './paths.ts'
import { parseYamlConfig } from './yaml.ts'

const home = {
  name: 'home',
  server: 'https://127.0.0.1:7443',
  token: 'bothy_h',
  ca: 'PEM\nPEM\n',
  namespace: 'default',
}
const work = { name: 'work', server: 'https://bothy.example.com', token: 'bothy_w', namespace: 'team' }
const config: Config = { current: 'home', contexts: [home, work] }

let dir: string
let path: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bothy-config-'))
  path = join(dir, 'bothy', 'config.yaml')
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const warnings: string[] = []
const warn = (message: string) => void warnings.push(message)

test('what is written is what is read, also as YAML, which people may make of it', async () => {
  expect(await parseConfig(formatConfig(config), 'x')).toEqual(config)
  expect(await parseConfig(stringify(config), 'x')).toEqual(config)
  expect(parseYamlConfig(formatConfig(config), 'x')).toEqual(config)
})

test.each([
  ['current: home\ncontexts: [\nname: x', /^read F: line \d: /],
  [
    'contexts:\n  - name: a\n    server: http://plain\n    token: t\n',
    /^read F: line 3: contexts\.0\.server: must be an https/,
  ],
  ['contexts:\n  - name: a\n    server: https://a\n', /^read F: line 2: contexts\.0\.token: /],
  [
    'contexts:\n  - name: a\n    server: https://a\n    token: t\n    tokn: x\n',
    /^read F: line 5: contexts\.0\.tokn: is no field/,
  ],
  ['- 1', /^read F: line 1: /],
  ['{"contexts": [{"name": "a",\n"server": "https://a"}]}', /^read F: line 1: contexts\.0\.token: /],
])('a malformed file is refused with its line: %j', async (text, message) => {
  await expect(parseConfig(text, 'F')).rejects.toThrow(message)
})

test('an empty file is an empty config', async () => {
  expect(await parseConfig('', 'x')).toEqual({ contexts: [] })
})

test('a missing file is an empty config, and the first context becomes the current one', async () => {
  expect(await loadConfig(path, warn)).toEqual({ contexts: [] })
  await saveContext(path, home, false)
  await saveContext(path, work, false)
  expect(await loadConfig(path, warn)).toEqual(config)
  expect(await loadContext(path)).toEqual(home)
  expect(await loadContext(path, 'work')).toEqual(work)
  expect(await loadContext(path, 'nowhere')).toBeUndefined()
})

test('the file and its folder are for their owner alone, and nothing is left beside it', async () => {
  await saveConfig(path, config)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect((await stat(join(dir, 'bothy'))).mode & 0o777).toBe(0o700)
  expect(await readdir(join(dir, 'bothy'))).toEqual(['config.yaml'])
})

test('a file that others can read is closed to them, and its owner told', async () => {
  await saveConfig(path, config)
  await chmod(path, 0o644)
  warnings.length = 0
  await loadConfig(path, warn)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(warnings).toEqual([expect.stringContaining('could be read by others')])
})

test('a config that is a link stays one', async () => {
  const target = join(dir, 'dotfiles.yaml')
  await writeFile(target, formatConfig({ contexts: [] }), { mode: 0o600 })
  await saveConfig(path, config)
  await rm(path)
  await symlink(target, path)
  await saveConfig(path, config)
  expect(await readFile(target, 'utf8')).toBe(formatConfig(config))
  expect(await readFile(path, 'utf8')).toBe(formatConfig(config))
})

test.each([
  ['the current context', {}, home],
  ['the one that is named', { context: 'work' }, work],
  ['its namespace, unless another is given', { namespace: 'mine' }, { ...home, namespace: 'mine' }],
  ['another token for the same server', { token: 'bothy_x' }, { ...home, token: 'bothy_x' }],
  [
    'the same server by its address: its CA holds',
    { server: 'https://127.0.0.1:7443/' },
    { ...home, server: 'https://127.0.0.1:7443/' },
  ],
])('connects with %s', (_, overrides, { server, token, namespace, ...rest }) => {
  const ca = 'ca' in rest ? rest.ca : undefined
  expect(resolveConnection(config, overrides)).toEqual({ server, token, namespace, ca })
})

test('a token of a context never goes to another server', () => {
  expect(() => resolveConnection(config, { server: 'https://evil.example.com' })).toThrow(
    /no token for this server/,
  )
  expect(() => resolveConnection(config, { server: 'https://127.0.0.1:7444' })).toThrow(/no token/)
  expect(resolveConnection(config, { server: 'https://other.example.com', token: 't' })).toEqual({
    server: 'https://other.example.com',
    token: 't',
    ca: undefined,
    namespace: 'default',
  })
})

test.each([
  [{ contexts: [] }, {}, 'no-context'],
  [config, { context: 'wrok' }, 'context-unknown'],
  [{ ...config, current: 'gone' }, {}, 'context-unknown'],
  [config, { server: 'http://plain' }, 'server-invalid'],
])('says what is missing', (given, overrides, code) => {
  expect(() => resolveConnection(given, overrides)).toThrow(
    expect.objectContaining({ code, hint: expect.any(String) }),
  )
})

test('files are where the XDG specification puts them', () => {
  expect(configPath({ HOME: '/home/a' })).toBe('/home/a/.config/bothy/config.yaml')
  expect(configPath({ HOME: '/home/a', XDG_CONFIG_HOME: '/x' })).toBe('/x/bothy/config.yaml')
  expect(configPath({ HOME: '/home/a', XDG_CONFIG_HOME: 'relative' })).toBe(
    '/home/a/.config/bothy/config.yaml',
  )
  expect(defaultDataDir({ HOME: '/home/me' }, false)).toBe('/home/me/.local/share/bothy')
  expect(defaultDataDir({ HOME: '/root' }, true)).toBe('/var/lib/bothy')
  expect(() => configPath({})).toThrow(/HOME/)
})

test.each([
  [{ HOME: '/home/a' }, {}],
  [{ HOME: '/home/a', XDG_CONFIG_HOME: 'relative' }, {}],
  [{ HOME: '/home/a', XDG_CONFIG_HOME: '/home/a/.config/' }, {}],
  [{ HOME: '/home/a', XDG_CONFIG_HOME: '/x' }, { XDG_CONFIG_HOME: '/x' }],
  [{ XDG_CONFIG_HOME: '/x' }, { XDG_CONFIG_HOME: '/x' }],
])('another program finds the file of %j with %j', (env, variables) => {
  expect(configVariables(env)).toEqual(variables)
})
