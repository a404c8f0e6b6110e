// Server-side apply: who owns which field, and what happens when two want the same.
import { expect, test } from 'vitest'
import { describeKubectl, type Kubectl } from '../support/kubectl.ts'
import { environment, type Json } from '../support/server.ts'

const manifest = (name: string, env: object, more: Json = {}) =>
  environment(name, { metadata: more.metadata, spec: { env, ...more.spec } })

/** Managers of an object, by name and operation, with the variables that each owns. */
async function owners(k: Kubectl, name: string): Promise<Record<string, string[]>> {
  const object = await k.json(k.minor >= 21 ? `get env ${name} --show-managed-fields` : `get env ${name}`)
  return Object.fromEntries(
    object.metadata.managedFields
      .filter((each: Json) => each.subresource === undefined)
      .map((each: Json) => [
        `${each.manager} ${each.operation}`,
        Object.keys(each.fieldsV1?.['f:spec']?.['f:env'] ?? {}).filter(key => key !== '.'),
      ]),
  )
}

describeKubectl('server-side apply', (k, minor) => {
  const apply = (object: object, ...flags: string[]) =>
    k()
      .given(object)
      .ok(['apply --server-side -f -', ...flags].join(' '))
  const variables = async (name: string) => (await k().json(`get env ${name}`)).spec.env

  test('creates, and applied again changes nothing', async () => {
    expect(await apply(manifest('a', { X: '1' }))).toBe('environment.bothy.dev/a serverside-applied\n')
    const { metadata } = await k().json('get env a')
    expect(metadata).toMatchObject({ generation: 1, annotations: { 'bothy.dev/owner': 'ada' } })
    expect(metadata.annotations).not.toHaveProperty(['kubectl.kubernetes.io/last-applied-configuration'])
    expect(await owners(k(), 'a')).toMatchObject({ 'kubectl Apply': ['f:X'] })
    expect(await apply(manifest('a', { X: '1' }))).toBe('environment.bothy.dev/a serverside-applied\n')
    expect((await k().json('get env a')).metadata.resourceVersion).toBe(metadata.resourceVersion)
  })

  test('a field that is left out goes, if nobody else owns it', async () => {
    await apply(manifest('b', { MINE: '1', OURS: '2' }))
    await apply(manifest('b', { OURS: '2', THEIRS: '3' }), '--field-manager=other')
    expect(await owners(k(), 'b')).toMatchObject({
      'kubectl Apply': ['f:MINE', 'f:OURS'],
      'other Apply': ['f:OURS', 'f:THEIRS'],
    })
    await apply(manifest('b', {}))
    expect(await variables('b')).toEqual({ OURS: '2', THEIRS: '3' })
    await apply(manifest('b', {}), '--field-manager=other')
    expect(await variables('b')).toEqual({})
  })

  test('two that want different values are in conflict, until one insists', async () => {
    await apply(manifest('c', { LEVEL: 'debug', A: '1' }))
    const other = k().given(manifest('c', { LEVEL: 'warn', A: '2' }))
    const refused = await other.fails('apply --server-side --field-manager=other -f -')
    expect(refused).toMatch(/^error: Apply failed with 2 conflicts: conflicts with "kubectl":\n/)
    expect(refused).toContain('\n- .spec.env.A\n- .spec.env.LEVEL\n')
    expect(refused).toContain('Please review the fields above--they currently have other managers.')
    expect(await variables('c')).toEqual({ LEVEL: 'debug', A: '1' })
    const one = await k()
      .given(manifest('c', { LEVEL: 'warn' }))
      .fails('apply --server-side --field-manager=other -f -')
    expect(one).toMatch(/^error: Apply failed with 1 conflict: conflict with "kubectl": .spec.env.LEVEL\n/)
    await other.ok('apply --server-side --field-manager=other --force-conflicts -f -')
    expect(await variables('c')).toEqual({ LEVEL: 'warn', A: '2' })
    expect(await owners(k(), 'c')).toMatchObject({ 'other Apply': ['f:A', 'f:LEVEL'] })
    // What was taken away is not given back by leaving it out.
    await apply(manifest('c', {}))
    expect(await variables('c')).toEqual({ LEVEL: 'warn', A: '2' })
  })

  test('a change by other means takes ownership, and is a conflict later', async () => {
    await apply(manifest('d', { LEVEL: 'debug' }))
    await k().ok('patch env d --type=merge -p', '{"spec":{"env":{"LEVEL":"trace"}}}')
    expect(await owners(k(), 'd')).toMatchObject({ 'kubectl-patch Update': ['f:LEVEL'] })
    expect(
      await k()
        .given(manifest('d', { LEVEL: 'debug' }))
        .fails('apply --server-side -f -'),
    ).toContain('conflict with "kubectl-patch" using bothy.dev/v1alpha1')
    // Wanting what is there already is none: both own it then.
    await apply(manifest('d', { LEVEL: 'trace' }))
    expect(await owners(k(), 'd')).toMatchObject({
      'kubectl Apply': ['f:LEVEL'],
      'kubectl-patch Update': ['f:LEVEL'],
    })
  })

  test('labels, annotations, finalizers and owners are owned one by one', async () => {
    const metadata = (key: string) => ({
      labels: { [key]: 'x' },
      annotations: { [`example.com/${key}`]: 'x' },
      finalizers: [`example.com/${key}`],
    })
    await apply(manifest('e', {}, { metadata: metadata('one') }))
    await apply(manifest('e', {}, { metadata: metadata('two') }), '--field-manager=other')
    expect((await k().json('get env e')).metadata).toMatchObject({
      labels: { one: 'x', two: 'x' },
      annotations: { 'example.com/one': 'x', 'example.com/two': 'x' },
      finalizers: ['example.com/one', 'example.com/two'],
    })
    await apply(manifest('e', {}))
    expect((await k().json('get env e')).metadata).toMatchObject({
      labels: { two: 'x' },
      finalizers: ['example.com/two'],
    })
    await apply(manifest('e', {}), '--field-manager=other')
    expect((await k().json('get env e')).metadata.labels).toBeUndefined()
    expect((await k().json('get env e')).metadata.finalizers).toBeUndefined()
  })

  test('dry run and diff show it, and store nothing', async () => {
    await apply(manifest('f', { X: '1' }))
    expect(await apply(manifest('f', { X: '2' }), '--dry-run=server')).toBe(
      'environment.bothy.dev/f serverside-applied (server dry run)\n',
    )
    const { code, stdout } = await k()
      .given(manifest('f', { X: '2' }))
      .run('diff --server-side -f -')
    expect(code).toBe(1)
    expect(stdout).toMatch(/^- {4}X: "1"$/m)
    expect(stdout).toMatch(/^\+ {4}X: "2"$/m)
    expect(await variables('f')).toEqual({ X: '1' })
    await apply(manifest('f-new', {}), '--dry-run=server')
    expect(await k().ok('get env f-new --ignore-not-found')).toBe('')
  })

  test('over what was applied from the client side: fields left out since then go', async () => {
    await k()
      .given(manifest('g', { OLD: '1', KEPT: '2' }))
      .ok('apply -f -')
    expect(await owners(k(), 'g')).toMatchObject({ 'kubectl-client-side-apply Update': ['f:KEPT', 'f:OLD'] })
    await apply(manifest('g', { KEPT: '2' }), ...(minor >= 26 ? [] : ['--force-conflicts']))
    if (minor >= 26) {
      // Since then kubectl hands the fields over to the server's books first.
      expect(await owners(k(), 'g')).not.toHaveProperty(['kubectl-client-side-apply Update'])
      expect(await variables('g')).toEqual({ KEPT: '2' })
      await apply(manifest('g', {}))
      expect(await variables('g')).toEqual({})
    } else {
      expect(await variables('g')).toEqual({ OLD: '1', KEPT: '2' })
    }
  })

  test('and back to the client side again', async () => {
    await k()
      .given(manifest('h', { A: '1' }))
      .ok('apply -f -')
    await apply(manifest('h', { A: '1', B: '2' }))
    await k()
      .given(manifest('h', { A: '3' }))
      .run('apply -f -')
    expect(await variables('h')).toMatchObject({ A: '3' })
  })

  test('invalid, misspelt and changed where nothing may change', async () => {
    const wrong = (spec: object) =>
      k().given(environment('a', { spec })).fails('apply --server-side --force-conflicts -f -')
    expect(await wrong({ desired: 'Flying' })).toMatch(
      /is invalid: spec.desired: Unsupported value: "Flying"/,
    )
    expect(await wrong({ environ: {} })).toMatch(
      minor >= 25
        ? /strict decoding error: unknown field "spec.environ"|field not declared in schema/
        : /environ/,
    )
    expect(await wrong({ class: 'large' })).toMatch(
      /is invalid: spec.class: Invalid value: "large": field is immutable/,
    )
  })

  test('the books are hidden, and cannot be forged by an apply', async () => {
    if (minor >= 21) expect(await k().ok('get env a -o yaml')).not.toContain('managedFields')
    const entry = {
      manager: 'forged',
      operation: 'Apply',
      apiVersion: 'bothy.dev/v1alpha1',
      fieldsType: 'FieldsV1',
    }
    const forged = manifest('a', { X: '1' }, { metadata: { managedFields: [{ ...entry, fieldsV1: {} }] } })
    expect(await k().given(forged).fails('apply --server-side -f -')).toContain(
      'metadata.managedFields must be nil',
    )
    expect(await owners(k(), 'a')).toMatchObject({ 'kubectl Apply': ['f:X'] })
  })
})
