// Owners and what they own; namespaces and what is in them: with the controllers that see to it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Kind, Resource } from '../../src/api/resource.ts'
import { runGarbageCollector } from '../../src/controllers/garbage-collector/run-garbage-collector.ts'
import { organizations } from '../../src/controllers/organization/reconcile.ts'
import { runController } from '../../src/core/controller.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { eventually } from '../support/eventually.ts'
import { describeKubectl } from '../support/kubectl.ts'
import { environment, type Json } from '../support/server.ts'

const CLASS = { name: 'small', spec: { image: 'alpine:3', memory: '1Gi', disk: '1Gi', pids: 100 } }

describeKubectl('owners and namespaces', (k, minor) => {
  const ending = new AbortController()
  let running: Promise<unknown>
  beforeAll(() => {
    const { store } = k().server.database
    const options = { store, clock: systemClock, log: silentLog, signal: ending.signal }
    const preparing = runController(organizations({ defaultClass: CLASS }), options)
    running = Promise.all([runGarbageCollector(options), preparing])
  })
  afterAll(async () => {
    ending.abort()
    await running
  })

  const create = async (name: string, more: Json = {}) =>
    k()
      .given(environment(name, { metadata: more }))
      .json('create -f -')
  const ownedBy = ({ apiVersion, kind, metadata: { name, uid } }: Json, finalizers: string[] = []) => ({
    ownerReferences: [{ apiVersion, kind, name, uid, blockOwnerDeletion: true }],
    finalizers,
  })
  const until = <K extends Kind>(
    kind: K,
    name: string,
    isRight: (found: Resource<K> | undefined) => boolean,
    namespace = 'default',
  ) => eventually(k().server.database.store, { kind, namespace, name }, isRight)
  const letGo = (name: string) =>
    k().ok(`patch env ${name} --type=merge -p`, '{"metadata":{"finalizers":null}}')
  const names = async () => (await k().ok('get env -o name')).trim().split('\n').filter(Boolean)

  test('delete --cascade=background: the owner first', async () => {
    const owner = await create('owner')
    await create('child', ownedBy(owner, ['example.com/hold']))
    await k().ok('delete env owner --cascade=background')
    await until('Environment', 'child', found => found?.metadata.deletionTimestamp !== undefined)
    expect(await names()).toEqual(['environment.bothy.dev/child'])
    await letGo('child')
    expect(await names()).toEqual([])
  })

  test('delete --cascade=foreground: the owner last, and kubectl waits for it', async () => {
    const owner = await create('owner')
    await create('child', ownedBy(owner, ['example.com/hold']))
    const deleting = k().start('delete env owner --cascade=foreground')
    await deleting.until(/"owner" deleted/)
    await until('Environment', 'child', found => found?.metadata.deletionTimestamp !== undefined)
    expect((await k().json('get env owner')).metadata.finalizers).toEqual(['foregroundDeletion'])
    expect(deleting.child.exitCode).toBe(null)
    await letGo('child')
    expect((await deleting.inTime()).code).toBe(0)
    expect(await names()).toEqual([])
  })

  test('delete --cascade=orphan: what it owned stays, and is its own', async () => {
    await create('child', ownedBy(await create('owner')))
    await k().ok('delete env owner --cascade=orphan')
    expect(await names()).toEqual(['environment.bothy.dev/child'])
    expect((await k().json('get env child')).metadata.ownerReferences).toBeUndefined()
    await k().ok('delete env child')
  })

  test('delete namespace waits until all in it is gone, and describe says what holds it', async () => {
    const admin = k().as('admin')
    await admin.ok('create namespace team')
    await until('EnvironmentClass', 'small', found => found !== undefined, 'team')
    const held = environment('held', { metadata: { finalizers: ['example.com/hold'] } })
    for (const each of [held, environment('free')]) await k().given(each).ok('create -n team -f -')
    const deleting = admin.start('delete namespace team')
    await deleting.until(/namespace "team" deleted/)
    const remains = (found?: Resource<'Organization'>) =>
      found?.status.conditions.find(({ type }) => type === 'FinalizersRemaining')?.status === 'True'
    await until('Organization', 'team', remains, '')
    expect(await admin.ok('get ns team')).toMatch(/^team +Terminating/m)
    const { conditions } = (await k().json('get ns team')).status
    expect(conditions.map(({ type, status }: Json) => [type, status])).toEqual([
      ['NamespaceContentRemaining', 'True'],
      ['NamespaceFinalizersRemaining', 'True'],
    ])
    // The oldest one does not show conditions of namespaces.
    const said = await k().ok('describe ns team')
    if (minor > 20) expect(said).toMatch(/NamespaceFinalizersRemaining +True .*example.com\/hold in 1/)
    expect(await k().given(environment('late')).fails('create -n team -f -')).toContain(
      'unable to create new content in namespace team because it is being terminated',
    )
    expect(await k().ok('get env -n team -o name')).toBe('environment.bothy.dev/held\n')
    await k().ok('patch env held -n team --type=merge -p', '{"metadata":{"finalizers":null}}')
    expect((await deleting.inTime()).code).toBe(0)
    expect(await admin.ok('get ns -o name')).toBe('namespace/default\n')
    expect(await admin.fails('delete namespace default')).toContain('always exists')
  })
})
