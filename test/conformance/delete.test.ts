// Deletion, at once and by and by.
import { expect, test } from 'vitest'
import { describeKubectl } from '../support/kubectl.ts'
import { environment } from '../support/server.ts'

const NAME = (name: string) => `environment.bothy.dev/${name}`

describeKubectl('delete', (k, minor) => {
  const create = (...names: string[]) =>
    k()
      .given(...names.map(name => environment(name)))
      .ok('create -f -')
  const held = (name: string) => environment(name, { metadata: { finalizers: ['example.com/hold'] } })
  const letGo = (name: string) =>
    k().ok(`patch env ${name} --type=merge -p`, '{"metadata":{"finalizers":null}}')
  /** Newer versions say from where. */
  const deleted = (...names: string[]) =>
    new RegExp(
      `^${names.map(name => `environment.bothy.dev "${name}" (force )?deleted(?: from \\w+ namespace)?\\n`).join('')}$`,
    )

  test('by name, several names, and from a manifest', async () => {
    await create('a', 'b', 'c', 'd')
    expect(await k().ok('delete env a')).toMatch(deleted('a'))
    expect(await k().ok('delete env b c')).toMatch(deleted('b', 'c'))
    expect(await k().given(environment('d')).ok('delete -f -')).toMatch(deleted('d'))
    expect(await k().ok('get env -o name')).toBe('')
  })

  test('what is not there', async () => {
    expect(await k().fails('delete env nobody')).toBe(
      'Error from server (NotFound): environments.bothy.dev "nobody" not found\n',
    )
    expect(await k().ok('delete env nobody --ignore-not-found')).toBe('')
  })

  test('-l, --field-selector, --all', async () => {
    await create('a', 'b', 'c', 'd')
    await k().ok('label env a b team=x')
    expect(await k().ok('delete env -l team=x')).toMatch(deleted('a', 'b'))
    expect(await k().ok('delete env --field-selector metadata.name=c')).toMatch(deleted('c'))
    expect(await k().ok('delete env --all')).toMatch(deleted('d'))
    expect(await k().ok('get env -o name')).toBe('')
  })

  test('--dry-run=server deletes nothing', async () => {
    await create('a')
    expect(await k().ok('delete env a --dry-run=server')).toMatch(/"a" deleted.*\(server dry run\)/)
    expect(await k().ok('get env a -o name')).toBe(`${NAME('a')}\n`)
    await k().ok('delete env a -o name')
  })

  test('waits for finalizers, or not', async () => {
    await k().given(held('patient')).ok('create -f -')
    const deleting = k().start('delete env patient')
    await deleting.until(deleted('patient'))
    const stored = await k().json('get env patient')
    expect(stored.metadata).toMatchObject({
      deletionTimestamp: expect.stringMatching(/Z$/),
      generation: 2,
      finalizers: ['example.com/hold'],
    })
    expect(deleting.child.exitCode).toBe(null)
    await letGo('patient')
    expect((await deleting.inTime()).code).toBe(0)
    expect(await k().ok('get env patient --ignore-not-found')).toBe('')

    await k().given(held('hasty')).ok('create -f -')
    expect(await k().ok('delete env hasty --wait=false')).toMatch(deleted('hasty'))
    expect(await k().ok('get env hasty -o name')).toBe(`${NAME('hasty')}\n`)
    expect(await k().fails('delete env hasty --timeout=1s')).toContain('timed out waiting for the condition')
  })

  test('what is going cannot be held any longer, nor called back', async () => {
    const more = '{"metadata":{"finalizers":["example.com/hold","example.com/more"]}}'
    expect(await k().fails('patch env hasty --type=merge -p', more)).toMatch(
      /metadata.finalizers: (Forbidden|Invalid value)/,
    )
    await k().run('patch env hasty --type=merge -p', '{"metadata":{"deletionTimestamp":null}}')
    expect((await k().json('get env hasty')).metadata.deletionTimestamp).toBeDefined()
    await letGo('hasty')
    expect(await k().ok('get env hasty --ignore-not-found')).toBe('')
  })

  test('--now, --force and --grace-period make no difference to what has none', async () => {
    await create('a', 'b', 'c')
    expect(await k().ok('delete env a --now')).toMatch(deleted('a'))
    const forced = await k().run('delete env b --force --grace-period=0')
    expect([forced.code, forced.stdout]).toEqual([0, expect.stringMatching(deleted('b'))])
    expect(await k().ok('delete env c --grace-period=1')).toMatch(deleted('c'))
    expect(await k().ok('get env -o name')).toBe('')
  })

  test('only by those who may', async () => {
    await create('mine')
    expect(await k().as('bob').fails('delete env mine')).toContain('Error from server (Forbidden)')
    expect(await k().as('eve').fails('delete env --all')).toContain('Forbidden')
    expect(await k().as('admin').ok('delete env mine')).toMatch(deleted('mine'))
  })

  if (minor >= 22) {
    test('get --raw has siblings that write', async () => {
      const path = '/apis/bothy.dev/v1alpha1/namespaces/default/environments'
      expect(JSON.parse(await k().given(environment('raw')).ok(`create --raw ${path} -f -`))).toMatchObject({
        kind: 'Environment',
      })
      expect(JSON.parse(await k().ok(`delete --raw ${path}/raw`))).toMatchObject({
        metadata: { name: 'raw' },
      })
    })
  }
})
