// Creation, and what the server says of manifests that are wrong.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describeKubectl } from '../support/kubectl.ts'
import { environment } from '../support/server.ts'

const misspelt = (name: string) => environment(name, { spec: { class: 'small', imag: 'x' } })

describeKubectl('create', (k, minor) => {
  test('from standard input, from a file, from a folder, from a list', async () => {
    expect(await k().given(environment('piped')).ok('create -f -')).toBe(
      'environment.bothy.dev/piped created\n',
    )
    const folder = join(k().server.dir, 'manifests')
    await mkdir(folder)
    await writeFile(join(folder, 'one.json'), JSON.stringify(environment('one')))
    await writeFile(join(folder, 'two.yaml'), TWO_IN_YAML)
    expect(await k().ok('create -f', join(folder, 'one.json'))).toBe('environment.bothy.dev/one created\n')
    await k().ok('delete env one')
    expect(await k().ok('create -f', folder)).toBe(
      'environment.bothy.dev/one created\nenvironment.bothy.dev/two created\nenvironment.bothy.dev/three created\n',
    )
    const list = { apiVersion: 'v1', kind: 'List', items: [environment('four'), environment('five')] }
    expect(await k().given(list).ok('create -o name -f -')).toBe(
      'environment.bothy.dev/four\nenvironment.bothy.dev/five\n',
    )
    expect(await k().json('get env two')).toMatchObject({
      metadata: { generation: 1, annotations: { 'bothy.dev/owner': 'ada' } },
      // What the manifest leaves out is filled in.
      spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: { LOG_LEVEL: 'debug' } },
      status: { phase: 'Pending' },
    })
  })

  test('generateName', async () => {
    const manifest = { ...environment('x'), metadata: { generateName: 'agent-' } }
    const names = [1, 2].map(() => k().given(manifest).ok('create -o name -f -'))
    const [one, two] = await Promise.all(names)
    expect(one).toMatch(/^environment.bothy.dev\/agent-[a-z0-9]{5}\n$/)
    expect(two).not.toBe(one)
  })

  test('a status in a manifest is ignored', async () => {
    await k()
      .given({ ...environment('stated'), status: { phase: 'Running', epoch: 7 } })
      .ok('create -f -')
    expect(await k().json('get env stated')).toMatchObject({ status: { phase: 'Pending', epoch: 0 } })
  })

  test('-o yaml prints what was stored; --save-config keeps the manifest', async () => {
    expect(await k().given(environment('kept')).ok('create --save-config -o yaml -f -')).toMatch(
      /kubectl.kubernetes.io\/last-applied-configuration: [^]*uid: [0-9a-f-]{36}/,
    )
    expect(await k().given(environment('kept')).ok('apply -f -')).toBe(
      'environment.bothy.dev/kept unchanged\n',
    )
  })

  test('--dry-run=client asks nothing, --dry-run=server everything, and neither stores', async () => {
    const dry = k().given(environment('dry'))
    expect(await dry.ok('create --dry-run=client -f -')).toBe('environment.bothy.dev/dry created (dry run)\n')
    expect(await dry.ok('create --dry-run=server -f -')).toBe(
      'environment.bothy.dev/dry created (server dry run)\n',
    )
    expect(await dry.json('create --dry-run=server -f -')).toMatchObject({
      metadata: { uid: expect.stringMatching(/^[0-9a-f-]{36}$/) },
      spec: { desired: 'Running' },
      status: { phase: 'Pending' },
    })
    expect(await k().ok('get env dry --ignore-not-found')).toBe('')
    await dry.ok('create -f -')
    expect(await dry.fails('create --dry-run=server -f -')).toContain('AlreadyExists')
  })

  test('what exists is not made again', async () => {
    await k().given(environment('twice')).ok('create -f -')
    expect(await k().given(environment('twice')).fails('create -f -')).toBe(
      'Error from server (AlreadyExists): error when creating "STDIN": environments.bothy.dev "twice" already exists\n',
    )
  })

  test('by default an unknown field is refused', async () => {
    const refused = await k().given(misspelt('strict')).fails('create -f -')
    expect(refused).toContain(
      minor >= 25 ? 'strict decoding error: unknown field "spec.imag"' : 'unknown field "imag" in',
    )
    expect(await k().given(misspelt('strict')).fails('create --validate=true -f -')).toBe(refused)
    if (minor >= 25)
      expect(await k().given(misspelt('strict')).fails('create --validate=strict -f -')).toBe(refused)
    expect(await k().ok('get env strict --ignore-not-found')).toBe('')
  })

  // 1.20 names no way of validation, for which the server warns by default.
  const lenient = minor >= 25 ? ['ignore', 'false'] : []
  for (const way of minor >= 25 ? ['warn'] : ['false']) {
    test(`--validate=${way} creates without the field, and warns`, async () => {
      const { code, stdout, stderr } = await k()
        .given(misspelt(`way-${way}`))
        .run(`create --validate=${way} -f -`)
      expect([code, stdout, stderr]).toEqual([
        0,
        `environment.bothy.dev/way-${way} created\n`,
        'Warning: unknown field "spec.imag"\n',
      ])
      expect((await k().json(`get env way-${way}`)).spec).not.toHaveProperty('imag')
    })
  }
  for (const way of lenient) {
    test(`--validate=${way} creates without the field, and says nothing`, async () => {
      await k()
        .given(misspelt(`way-${way}`))
        .ok(`create --validate=${way} -f -`)
      expect((await k().json(`get env way-${way}`)).spec).not.toHaveProperty('imag')
    })
  }

  test('values of a wrong type, not allowed, or missing', async () => {
    const wrong = (spec: object) => k().given(environment('wrong', { spec })).fails('create -f -')
    const type = await wrong({ env: { A: 5 } })
    expect(type).toMatch(/The Environment "wrong" is invalid: spec.env.A: Invalid value: 5: /)
    expect(await wrong({ desired: 'Flying' })).toMatch(
      /The Environment "wrong" is invalid: spec.desired: Unsupported value: "Flying": supported values: "Running", "Stopped"/,
    )
    expect(await wrong({ class: 'Not Small' })).toMatch(
      /is invalid: spec.class: Invalid value: "Not Small": /,
    )
    const several = await wrong({ desired: 'Flying', class: 'Not Small' })
    expect(several).toMatch(/The Environment "wrong" is invalid: \n\* spec\..*\n\* spec\./)
    const needy = { ...environment('wrong', { spec: { memory: '1Gi' } }), kind: 'EnvironmentClass' }
    expect(await k().as('admin').given(needy).fails('create -f -')).toMatch(
      minor >= 25
        ? /The EnvironmentClass "wrong" is invalid: spec.image: Required value/
        : /missing required field "image"/,
    )
  })

  test('names that are none', async () => {
    for (const name of ['Upper', 'under_score', 'dot.ted', `${'x'.repeat(64)}`, '-dash'])
      expect(await k().given(environment(name)).fails('create -f -')).toContain(
        `The Environment "${name}" is invalid: metadata.name: Invalid value: "${name}": `,
      )
    const nameless = { ...environment('x'), metadata: {} }
    expect(await k().given(nameless).fails('create -f -')).toMatch(
      /name.*required|resource name may not be empty/,
    )
  })

  test('labels and annotations that are none', async () => {
    const labelled = (metadata: object) =>
      k().given(environment('labelled', { metadata })).fails('create -f -')
    expect(await labelled({ labels: { 'not a key': 'x' } })).toMatch(
      /metadata.labels\S*.*: Invalid value: "not a key": /,
    )
    expect(await labelled({ labels: { key: 'not a value' } })).toContain(
      'metadata.labels.key: Invalid value: "not a value": ',
    )
    expect(await labelled({ annotations: { 'not a key': 'x' } })).toMatch(
      /metadata.annotations\S*.*: Invalid value: "not a key": /,
    )
    expect(await labelled({ finalizers: ['not a finalizer'] })).toContain('metadata.finalizers')
  })

  test('other namespaces, versions and kinds than there are', async () => {
    const elsewhere = environment('x', { metadata: { namespace: 'elsewhere' } })
    expect(await k().given(elsewhere).fails('create -n default -f -')).toContain(
      'does not match the namespace',
    )
    expect(await k().given(elsewhere).fails('create -f -')).toContain('namespaces "elsewhere" not found')
    const later = { ...environment('x'), apiVersion: 'bothy.dev/v9' }
    expect(await k().given(later).fails('create -f -')).toMatch(
      /no matches for kind "Environment" in version "bothy.dev\/v9"/,
    )
    const foreign = { ...environment('x'), kind: 'Nonsense' }
    expect(await k().given(foreign).fails('create -f -')).toMatch(/no matches for kind "Nonsense"/)
  })

  test('the lines of a YAML file are told where it is none', async () => {
    expect(await k().given('kind: Environment\n  bad: [').fails('create -f -')).toMatch(
      /error (parsing|converting)/,
    )
  })
})

const TWO_IN_YAML = `apiVersion: bothy.dev/v1alpha1
kind: Environment
metadata:
  name: two
spec:
  env:
    LOG_LEVEL: debug
---
apiVersion: bothy.dev/v1alpha1
kind: Environment
metadata:
  name: three
`
