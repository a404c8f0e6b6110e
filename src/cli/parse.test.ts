import { expect, test } from 'vitest'
import { parseAddress } from './address.ts'
import { applicable, parseManifests } from './apply/manifests.ts'
import { exitCode } from './exec/exit-code.ts'
import { forwardsInput } from './exec/run-exec.ts'
import { nearest } from './nearest.ts'
import { keyIn, parseEnvironment, parseTargets } from './targets.ts'
import { parseEqualities } from './verbs/get-run.ts'

test('objects are named as KIND, KIND NAME…, KIND/NAME…', () => {
  expect(parseTargets(['envs'])).toEqual([{ kind: 'Environment', names: [] }])
  expect(parseTargets(['environment', 'a', 'b'])).toEqual([{ kind: 'Environment', names: ['a', 'b'] }])
  expect(parseTargets(['env/a', 'runner.bothy.dev/here'])).toEqual([
    { kind: 'Environment', names: ['a'] },
    { kind: 'Runner', names: ['here'] },
  ])
  expect(keyIn('Environment', 'a', 'team')).toEqual({ kind: 'Environment', name: 'a', namespace: 'team' })
})

test.each([
  [['envirnment'], "did you mean 'environment'?"],
  [['pods'], 'there are environments, environmentclasses, snapshots, runners, organizations, events'],
  [['environments.example.com'], expect.any(String)],
  [['env/'], 'write KIND/NAME'],
  [['env/a/b'], 'write KIND/NAME'],
  [['env/a', 'b'], 'write KIND/NAME'],
  [['env', '../x'], expect.stringContaining('63 lower-case')],
  [['env', '-x'], expect.stringContaining('63 lower-case')],
] as const)('%j names nothing', (words, hint) => {
  expect(() => parseTargets(words)).toThrow(expect.objectContaining({ reason: 'invalid', hint }))
})

test('an environment is named by its name, or as get prints it', () => {
  const key = { kind: 'Environment', namespace: 'default', name: 'a' }
  expect(
    ['a', 'environment/a', 'environment.bothy.dev/a'].map(word => parseEnvironment(word, 'default')),
  ).toEqual([key, key, key])
  expect(() => parseEnvironment('runner/a', 'default')).toThrow(/is no environment/)
})

test('what was meant is found when it is near, and nothing otherwise', () => {
  const words = ['environment', 'runner', 'list']
  expect(['enviroment', 'lsit', 'runer', 'zzz', 'x'].map(word => nearest(word, words))).toEqual([
    'environment',
    undefined,
    'runner',
    undefined,
    undefined,
  ])
})

test('addresses to listen on', () => {
  expect(['127.0.0.1:7443', '0.0.0.0:0', '[::1]:80', '7443', 'localhost:1'].map(parseAddress)).toEqual([
    { host: '127.0.0.1', port: 7443 },
    { host: '0.0.0.0', port: 0 },
    { host: '::1', port: 80 },
    { host: '127.0.0.1', port: 7443 },
    { host: '127.0.0.1', port: 1 },
  ])
  for (const text of [
    '',
    ':80',
    '::1:80',
    'example.com:80',
    '1.2.3:80',
    '127.0.0.1',
    '127.0.0.1:70000',
    '[127.0.0.1]:1',
    '80x',
  ]) {
    expect(() => parseAddress(text), text).toThrow(/not an address/)
  }
})

test('exit codes are as a shell reports them', () => {
  expect(
    [{ code: 0 }, { code: 43 }, { signal: 'SIGKILL' }, { signal: 'SIGTERM' }].map(exit =>
      exitCode(exit as never),
    ),
  ).toEqual([0, 43, 137, 143])
  expect([exitCode({ code: 256 }), exitCode({ code: -1 })]).toEqual([255, 255])
})

test('a terminal is handed on only when it is given', () => {
  const cases = [
    [true, false, false, false],
    [true, true, false, true],
    [true, false, true, true],
    [false, false, false, true],
    [false, true, false, true],
  ] as const
  for (const [isTTY, tty, interactive, expected] of cases) {
    expect(forwardsInput({ isTTY }, { tty, interactive })).toBe(expected)
  }
})

test('selectors are equalities', () => {
  expect(parseEqualities('a=b, c==d,e=', '-l')).toEqual({ a: 'b', c: 'd', e: '' })
  for (const text of ['', 'a', 'a!=b', 'a in (b)'])
    expect(() => parseEqualities(text, '-l')).toThrow(/not KEY=VALUE/)
})

const manifest = (name: string) =>
  `apiVersion: bothy.dev/v1alpha1\nkind: Environment\nmetadata: { name: ${name} }\n`

test('a file has many documents, and lists are taken apart', () => {
  const list = `apiVersion: v1\nkind: List\nitems:\n  - { apiVersion: bothy.dev/v1alpha1, kind: runner, metadata: { name: r, namespace: n } }\n`
  const found = parseManifests(`${manifest('a')}---\n# nothing\n---\n${manifest('b')}---\n${list}`, 'f')
  expect(found.map(({ kind, name, namespace }) => [kind, name, namespace])).toEqual([
    ['Environment', 'a', undefined],
    ['Environment', 'b', undefined],
    ['Runner', 'r', 'n'],
  ])
  expect(found[2]?.document.kind).toBe('Runner')
  expect(
    parseManifests(
      JSON.stringify({ apiVersion: 'bothy.dev/v1alpha1', kind: 'Runner', metadata: { name: 'j' } }),
      'f',
    ),
  ).toHaveLength(1)
  expect(parseManifests('', 'f')).toEqual([])
})

test.each([
  ['metadata: {name: x\nkind: Y', /^read f:2:\d+: /],
  [`${manifest('a')}---\nkind: Environment\n`, /^read f:4:1 \(document 2\): apiVersion: /],
  [`${manifest('a')}spec:\n\t- tab\n`, /^read f:5:/],
  ['apiVersion: v1\nkind: Pod\nmetadata: {name: x}', /apiVersion v1 is not served/],
  ['apiVersion: bothy.dev/v1alpha1\nkind: Pod\nmetadata: {name: x}', /there is no kind 'Pod'/],
  ['just text', /^read f:1:1: the document: /],
  [
    'a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b, *b, *b]',
    /.+/,
  ],
])('a malformed manifest is refused with its place: %j', (text, message) => {
  expect(() => parseManifests(text, 'f')).toThrow(message)
})

test('what the server says of an object is not applied again', () => {
  const document = {
    apiVersion: 'x',
    kind: 'Environment',
    metadata: { name: 'a', uid: 'u', resourceVersion: '4', generation: 1, managedFields: [] },
    spec: { desired: 'Running' },
    status: { phase: 'Running' },
  }
  const wanted = { apiVersion: 'x', kind: 'Environment', spec: { desired: 'Running' } }
  expect(applicable(document, 'team')).toEqual({ ...wanted, metadata: { name: 'a', namespace: 'team' } })
  expect(applicable(document, '')).toEqual({ ...wanted, metadata: { name: 'a' } })
})
