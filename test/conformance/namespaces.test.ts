// A namespace is an organization, seen by the tools that know namespaces.
import { expect, test } from 'vitest'
import { describeKubectl, parseTable } from '../support/kubectl.ts'
import { environment } from '../support/server.ts'

describeKubectl('namespaces', (k, minor) => {
  const admin = () => k().as('admin')

  test('get', async () => {
    expect(parseTable(await k().ok('get namespaces'))).toContainEqual({
      ...{ NAME: 'default', STATUS: 'Active', AGE: expect.stringMatching(/^\d+s$/) },
    })
    expect(await k().json('get ns default')).toMatchObject({
      ...{ apiVersion: 'v1', kind: 'Namespace', status: { phase: 'Active' } },
    })
  })

  test('create', async () => {
    expect(await admin().ok('create namespace acme')).toBe('namespace/acme created\n')
    expect(await admin().fails('create namespace acme')).toContain('namespaces "acme" already exists')
    expect(await admin().ok('create namespace dry --dry-run=server')).toContain('(server dry run)')
    expect(await k().fails('create namespace mine')).toContain('Forbidden')
    expect(await admin().fails('create namespace Upper_Case')).toContain(
      'metadata.name: Invalid value: "Upper_Case"',
    )
    expect(await k().ok('get org acme -o name')).toBe('organization.bothy.dev/acme\n')
  })

  test('describe', async () => {
    const said = await admin().ok('describe namespace acme')
    expect(said).toMatch(/^Name: +acme$/m)
    expect(said).toMatch(/^Status: +Active$/m)
  })

  test('label, annotate, patch and apply', async () => {
    expect(await admin().ok('label ns acme team=a')).toBe('namespace/acme labeled\n')
    expect(await admin().ok('annotate ns acme example.com/a=b')).toBe('namespace/acme annotated\n')
    // A built-in kind to kubectl, and so patched the way built-in kinds are.
    expect(await admin().ok('patch ns acme -p', '{"metadata":{"labels":{"tier":"1"}}}')).toBe(
      'namespace/acme patched\n',
    )
    expect((await admin().json('get ns acme')).metadata.labels).toMatchObject({ team: 'a', tier: '1' })
    const manifest = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'applied', labels: { a: '1' } },
    }
    expect(await admin().given(manifest).ok('apply -f -')).toBe('namespace/applied created\n')
    expect(await admin().given(manifest).ok('apply -f -')).toBe('namespace/applied unchanged\n')
    const changed = { ...manifest, metadata: { name: 'applied', labels: { b: '2' } } }
    expect(await admin().given(changed).ok('apply -f -')).toBe('namespace/applied configured\n')
    const { labels } = (await admin().json('get ns applied')).metadata
    expect(labels).toMatchObject({ b: '2' })
    expect(labels).not.toHaveProperty('a')
    expect(await admin().given(changed).ok('apply --server-side --force-conflicts -f -')).toBe(
      'namespace/applied serverside-applied\n',
    )
  })

  test('objects live in them, apart', async () => {
    await admin().given(environment('twin')).ok('create -n acme -f -')
    await k().given(environment('twin')).ok('create -f -')
    expect(await admin().ok('get env -n acme -o name')).toBe('environment.bothy.dev/twin\n')
    expect(parseTable(await admin().ok('get env -A')).map(row => row['NAMESPACE'])).toEqual([
      'acme',
      'default',
    ])
    expect(await k().given(environment('lost')).fails('create -n nowhere -f -')).toContain(
      'namespaces "nowhere" not found',
    )
  })

  test('delete takes with it what is inside', async () => {
    expect(await k().fails('delete namespace acme')).toContain('Forbidden')
    expect(await admin().ok('delete namespace acme --wait=false')).toBe('namespace "acme" deleted\n')
    await admin().ok('delete namespace applied --wait=false')
  })

  test('events have a place in them', async () => {
    if (minor >= 27)
      expect((await k().run('events')).stderr).toContain('No events found in default namespace.')
  })
})
