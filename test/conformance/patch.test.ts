// Changes in place: patch, label, annotate.
import { beforeAll, expect, test } from 'vitest'
import { describeKubectl } from '../support/kubectl.ts'
import { environment } from '../support/server.ts'

const NAME = 'environment.bothy.dev/otter'

describeKubectl('patch', (k, minor) => {
  beforeAll(() =>
    k()
      .given(environment('otter', { spec: { env: { A: '1', B: '2' } } }))
      .ok('create -f -'),
  )
  const patch = (type: string, body: unknown, flags = '') =>
    k().ok(`patch env otter --type=${type}${flags} -p`, JSON.stringify(body))
  const refused = (type: string, body: unknown) =>
    k().fails(`patch env otter --type=${type} -p`, JSON.stringify(body))

  test('merge: sets, and removes what is null', async () => {
    expect(await patch('merge', { spec: { env: { A: '9', B: null, C: '3' } } })).toBe(`${NAME} patched\n`)
    expect(await k().json('get env otter')).toMatchObject({
      metadata: { generation: 2 },
      spec: { env: { A: '9', C: '3' } },
    })
    expect((await k().json('get env otter')).spec.env).not.toHaveProperty('B')
  })

  test('a patch that changes nothing', async () => {
    const { metadata } = await k().json('get env otter')
    expect(await patch('merge', { spec: { env: { A: '9' } } })).toBe(`${NAME} patched (no change)\n`)
    expect((await k().json('get env otter')).metadata).toEqual(metadata)
  })

  test('json: every operation', async () => {
    const operations = [
      { op: 'test', path: '/spec/env/A', value: '9' },
      { op: 'add', path: '/spec/env/D', value: '4' },
      { op: 'replace', path: '/spec/env/A', value: '1' },
      { op: 'copy', from: '/spec/env/D', path: '/spec/env/E' },
      { op: 'move', from: '/spec/env/C', path: '/spec/env/F' },
      { op: 'add', path: '/metadata/labels', value: { 'example.com/a': 'b' } },
      { op: 'remove', path: '/metadata/labels/example.com~1a' },
    ]
    expect(await patch('json', operations)).toBe(`${NAME} patched\n`)
    expect((await k().json('get env otter')).spec.env).toEqual({ A: '1', D: '4', E: '4', F: '3' })
  })

  test('json: a test that fails, a path that is none, an operation that is none', async () => {
    expect(await refused('json', [{ op: 'test', path: '/spec/env/A', value: 'other' }])).toContain(
      'The request is invalid',
    )
    expect(await refused('json', [{ op: 'remove', path: '/spec/env/NONE' }])).toContain(
      'The request is invalid',
    )
    expect(await refused('json', [{ op: 'fly', path: '/spec' }])).toMatch(
      /Unexpected kind: fly|BadRequest|The request is invalid/,
    )
    expect((await k().json('get env otter')).spec.env).toEqual({ A: '1', D: '4', E: '4', F: '3' })
  })

  test('strategic merge is refused, as for every kind that is not built in', async () => {
    for (const line of ['patch env otter -p', 'patch env otter --type=strategic -p']) {
      const said = await k().fails(line, '{"spec":{"env":{"A":"2"}}}')
      // 1.20 does not say for which kind.
      if (minor >= 21)
        expect(said).toContain(
          'strategic-merge-patch+json is not supported by bothy.dev/v1alpha1, Kind=Environment',
        )
      else expect(said).toContain('Error from server (UnsupportedMediaType)')
      expect(said).toContain('application/merge-patch+json, application/json-patch+json')
    }
  })

  test('--dry-run=server, -o', async () => {
    expect(await patch('merge', { spec: { desired: 'Stopped' } }, ' --dry-run=server')).toContain(
      `${NAME} patched`,
    )
    expect((await k().json('get env otter')).spec.desired).toBe('Running')
    expect(await patch('merge', { spec: { desired: 'Stopped' } }, ' -o name')).toBe(`${NAME}\n`)
    expect(await patch('merge', { spec: { desired: 'Running' } }, ' -o jsonpath={.spec.desired}')).toBe(
      'Running',
    )
  })

  test('of what is not there, not allowed, not valid, not known', async () => {
    expect(await k().fails('patch env nobody --type=merge -p', '{}')).toContain('NotFound')
    expect(await refused('merge', { spec: { desired: 'Flying' } })).toMatch(
      /^The Environment "otter" is invalid: spec.desired: Unsupported value: "Flying"/,
    )
    expect(await refused('merge', { spec: { class: 'large' } })).toMatch(
      /spec.class: Invalid value: "large": field is immutable/,
    )
    expect(await refused('merge', { metadata: { resourceVersion: '1' } })).toContain('Conflict')
    expect(await refused('merge', { metadata: { uid: '0'.repeat(36) } })).toMatch(/Conflict|Invalid|invalid/)
    // kubectl asks for no validation here; what is unknown is dropped, and said.
    const { code, stderr } = await k().run('patch env otter --type=merge -p', '{"spec":{"imag":"x"}}')
    expect([code, stderr]).toEqual([0, 'Warning: unknown field "spec.imag"\n'])
    expect(
      await k().as('bob').fails('patch env otter --type=merge -p', '{"spec":{"desired":"Stopped"}}'),
    ).toContain('Forbidden')
  })

  if (minor >= 24) {
    test('--subresource=status writes the status only, with a permission of its own', async () => {
      const before = await k().json('get env otter')
      const body =
        '{"spec":{"desired":"Stopped"},"metadata":{"labels":{"a":"b"}},"status":{"phase":"Stopped","epoch":2}}'
      const line = 'patch env otter --subresource=status --type=merge -p'
      expect(await k().fails(line, body)).toContain('Forbidden')
      expect(await k().as('admin').ok(line, body)).toBe(`${NAME} patched\n`)
      const after = await k().json('get env otter --subresource=status')
      expect(after).toMatchObject({ spec: before.spec, status: { phase: 'Stopped', epoch: 2 } })
      expect(after.metadata.generation).toBe(before.metadata.generation)
      // And the other way round: the main resource leaves the status alone.
      expect(await patch('merge', { status: { phase: 'Failed' } })).toBe(`${NAME} patched (no change)\n`)
    })
  }
})

describeKubectl('label and annotate', (k, minor) => {
  beforeAll(() => k().given(environment('otter'), environment('heron')).ok('create -f -'))
  const labels = async () => (await k().json('get env otter')).metadata.labels

  test('label: sets, keeps, overwrites, removes', async () => {
    expect(await k().ok('label env otter team=a tier=1')).toBe(`${NAME} labeled\n`)
    expect(await k().fails('label env otter team=b')).toContain(
      `'team' already has a value (a), and --overwrite is false`,
    )
    expect(await k().ok('label env otter team=b --overwrite')).toBe(`${NAME} labeled\n`)
    expect(await labels()).toEqual({ team: 'b', tier: '1' })
    expect(await k().ok('label env otter tier-')).toBe(`${NAME} ${minor >= 23 ? 'un' : ''}labeled\n`)
    expect(await labels()).toEqual({ team: 'b' })
    expect((await k().json('get env otter')).metadata.generation).toBe(1)
  })

  test('label: --list, -l, --all, dry run', async () => {
    expect(await k().ok('label env otter --list')).toContain('team=b\n')
    expect(await k().ok('label env -l team=b seen=yes')).toBe(`${NAME} labeled\n`)
    expect(await k().ok('label env --all every=one')).toBe(
      `environment.bothy.dev/heron labeled\n${NAME} labeled\n`,
    )
    expect(await k().ok('label env otter dry=run --dry-run=server')).toContain(`${NAME} labeled`)
    expect(await labels()).toEqual({ team: 'b', seen: 'yes', every: 'one' })
  })

  test('label: a version that is not the current one, and values that are none', async () => {
    expect(await k().fails('label env otter late=yes --resource-version=1')).toContain('Conflict')
    const { metadata } = await k().json('get env otter')
    await k().ok(`label env otter late=no --resource-version=${metadata.resourceVersion}`)
    expect(await k().fails('label env otter', 'bad=a b')).toContain('invalid label value')
    const value = '{"metadata":{"labels":{"bad":"a b"}}}'
    expect(await k().fails('patch env otter --type=merge -p', value)).toMatch(
      /The Environment "otter" is invalid: metadata.labels.bad: Invalid value: "a b": /,
    )
  })

  test('annotate: the same for notes', async () => {
    expect(await k().ok('annotate env otter', 'example.com/note=some words')).toBe(`${NAME} annotated\n`)
    expect(await k().fails('annotate env otter example.com/note=others')).toContain('--overwrite is false')
    expect(await k().ok('annotate env otter example.com/note=others --overwrite')).toBe(`${NAME} annotated\n`)
    expect((await k().json('get env otter')).metadata.annotations).toMatchObject({
      'example.com/note': 'others',
    })
    if (minor >= 21) expect(await k().ok('annotate env otter --list')).toContain('example.com/note=others')
    expect(await k().ok('annotate env otter example.com/note-')).toBe(`${NAME} annotated\n`)
    expect((await k().json('get env otter')).metadata.annotations).not.toHaveProperty(['example.com/note'])
  })

  test('the owner is not changed by a note', async () => {
    expect(await k().fails('annotate env otter bothy.dev/owner=bob --overwrite')).toContain('Forbidden')
  })
})
