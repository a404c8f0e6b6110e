// Every kind of ours, through its whole life, from its entry in the registry alone: a new kind needs a manifest here
// and nothing else.
import { expect, test } from 'vitest'
import type { KindDefinition } from '../../src/api/kinds/kind.ts'
import { KINDS, type Kinds } from '../../src/api/kinds/registry.ts'
import { describeKubectl, parseTable } from '../support/kubectl.ts'
import type { Json } from '../support/server.ts'

type OwnKind = Exclude<keyof Kinds, 'Event'>

/** What a manifest needs, and a change of it that is allowed. */
const SAMPLES: Record<OwnKind, { spec: Json; change: Json }> = {
  Environment: { spec: { env: { A: '1' } }, change: { desired: 'Stopped' } },
  EnvironmentClass: { spec: { image: 'example.com/base:1' }, change: { memory: '8Gi' } },
  Runner: { spec: { cordoned: false }, change: { cordoned: true } },
  Snapshot: { spec: { environment: 'otter' }, change: { runner: 'here' } },
  Organization: { spec: { displayName: 'Acme' }, change: { displayName: 'Acme & Sons' } },
}

const DEFINITIONS = Object.entries(SAMPLES).map(([kind, sample]) => ({
  ...(KINDS[kind as OwnKind] as KindDefinition<unknown, unknown>),
  ...sample,
}))

test('there is a sample of every kind of ours', () => {
  const own = Object.values(KINDS).filter(({ group }) => group === 'bothy.dev')
  expect(Object.keys(SAMPLES).sort()).toEqual(own.map(({ kind }) => kind).sort())
})

describeKubectl('kinds', (k, minor) => {
  test.each(DEFINITIONS)('$kind', async ({ kind, plural, shortNames, namespaced, columns, spec, change }) => {
    const admin = k().as('admin')
    const manifest = (name: string, more: Json = spec) => ({
      apiVersion: 'bothy.dev/v1alpha1',
      kind,
      metadata: { name, labels: { sample: 'yes' } },
      spec: more,
    })
    const named = `${kind.toLowerCase()}.bothy.dev/sample`
    expect(await admin.given(manifest('sample')).ok('create -f -')).toBe(`${named} created\n`)
    const created = await admin.json(`get ${plural} sample`)
    expect(created).toMatchObject({
      apiVersion: 'bothy.dev/v1alpha1',
      kind,
      metadata: { generation: 1 },
      spec,
    })
    expect(created.metadata.namespace).toBe(namespaced ? 'default' : undefined)

    // Found by every name, selected, and printed in its own columns.
    for (const word of [kind, plural, ...shortNames])
      expect(await admin.ok(`get ${word} sample -o name`)).toBe(`${named}\n`)
    expect(await admin.ok(`get ${plural} -l sample=yes --field-selector metadata.name=sample -o name`)).toBe(
      `${named}\n`,
    )
    const titles = columns.filter(each => each.wide !== true).map(each => each.name.toUpperCase())
    const [row] = parseTable(await admin.ok(`get ${plural} sample`))
    expect(Object.keys(row!)).toEqual(['NAME', ...titles])
    const [wide] = parseTable(await admin.ok(`get ${plural} sample -o wide`))
    expect(Object.keys(wide!)).toEqual(expect.arrayContaining(columns.map(each => each.name.toUpperCase())))
    expect(await admin.ok(`describe ${plural} sample`)).toMatch(/^Name: +sample$/m)

    // Changed in every way.
    await admin.ok(`patch ${plural} sample --type=merge -p`, JSON.stringify({ spec: change }))
    const changed = await admin.json(`get ${plural} sample`)
    expect(changed).toMatchObject({ metadata: { generation: 2 }, spec: { ...spec, ...change } })
    expect(await admin.ok(`label ${plural} sample more=yes`)).toBe(`${named} labeled\n`)
    expect(await admin.ok(`annotate ${plural} sample example.com/a=b`)).toBe(`${named} annotated\n`)
    expect(await admin.given(await admin.json(`get ${plural} sample`)).ok('replace -f -')).toBe(
      `${named} replaced\n`,
    )
    expect((await admin.json(`get ${plural} sample`)).metadata).toMatchObject({
      generation: 2,
      labels: { more: 'yes' },
    })

    // Declared.
    expect(await admin.given(manifest('other')).ok('apply -f -')).toContain('/other created\n')
    expect(await admin.given(manifest('other')).ok('apply -f -')).toContain('/other unchanged\n')
    expect(await admin.given(manifest('other', { ...spec, ...change })).ok('apply -f -')).toContain(
      '/other configured\n',
    )
    expect(await admin.given(manifest('third')).ok('apply --server-side -f -')).toContain(
      '/third serverside-applied\n',
    )
    expect(
      (await admin.given(manifest('third', { ...spec, ...change })).run('diff --server-side -f -')).code,
    ).toBe(1)

    // Refused.
    const misspelt = await admin.given(manifest('bad', { ...spec, nonsense: 1 })).fails('create -f -')
    expect(misspelt).toContain(minor >= 25 ? 'unknown field "spec.nonsense"' : 'unknown field "nonsense"')
    expect(await k().as('eve').given(manifest('bad')).fails('create -f -')).toContain('Forbidden')
    expect(await k().as('eve').ok(`get ${plural} sample -o name`)).toBe(`${named}\n`)

    // Watched, and deleted.
    const watching = admin.start(`get ${plural} -w -l sample=yes -o name`)
    await watching.until(/sample/)
    await admin.given(manifest('watched')).ok('create -f -')
    await watching.until(/watched/)
    await watching.end()
    expect(await admin.ok(`delete ${plural} sample other --wait=false`)).toMatch(
      /"sample".* deleted[^]*"other".* deleted/,
    )
    await admin.ok(`delete ${plural} -l sample=yes --wait=false`)
  })
})
