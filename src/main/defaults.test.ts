import { expect, test } from 'vitest'
import { testDatabase } from '../../test/support/postgres.ts'
import { ensureDefaultClass, ensureOrganizations } from './defaults.ts'

test('each namespace that holds something gets its organization, once, and the default one is always there', async () => {
  const database = await testDatabase()
  try {
    const { store } = database
    const names = async () => (await store.list('Organization')).items.map(({ metadata }) => metadata.name)
    await ensureOrganizations(store)
    await ensureDefaultClass(store)
    expect(await names()).toEqual(['default'])
    expect((await store.list('EnvironmentClass')).items).toHaveLength(1)

    for (const namespace of ['from-before', 'from-before', 'too'])
      await store.create({
        kind: 'Runner',
        metadata: { name: `r-${Math.random().toString(36).slice(2)}`, namespace },
        spec: { cordoned: false },
      })
    await ensureOrganizations(store)
    const made = (await store.list('Organization')).items
    expect(await names()).toEqual(['default', 'from-before', 'too'])
    await ensureOrganizations(store)
    await ensureDefaultClass(store)
    expect((await store.list('Organization')).items).toEqual(made)
    expect((await store.list('EnvironmentClass')).items).toHaveLength(1)
  } finally {
    await database.close()
  }
})
