import { findCondition, isTrue, setCondition } from '../../api/conditions.ts'
import { ORGANIZATION_FINALIZER } from '../../api/kinds/organization.ts'
import { type Draft, type Kind, keyOf, type Resource } from '../../api/resource.ts'
import { again, type Outcome, type ReconcileContext, type Reconciler, settled } from '../../core/reconcile.ts'
import { writeMain, writeStatus } from '../../core/write.ts'
import { timestamp } from '../../lib/clock.ts'
import { isFault } from '../../lib/fault.ts'
import { CONTENT_KINDS, CONTENT_REMAINING, planDeletion } from './plan.ts'

type Organization = Resource<'Organization'>

/** True once a new organization has got what it begins with: what is deleted later stays deleted. */
const PREPARED = 'Prepared'
// Between looks at an organization that is being emptied: the longer it takes, the less often.
const SOON_MS = 250
const LATER_MS = 5_000
const REMOVALS_AT_ONCE = 16

export interface OrganizationOptions {
  /** The class that a new organization begins with. */
  readonly defaultClass: Pick<Draft<'EnvironmentClass'>, 'spec'> & { readonly name: string }
}

/** Gives new organizations an environment class, and empties those that are being deleted. */
export function organizations({ defaultClass }: OrganizationOptions): Reconciler<'Organization'> {
  return {
    name: 'organization',
    kind: 'Organization',
    async reconcile(_key, object, context) {
      if (object === undefined) return settled('it is gone')
      if (object.metadata.deletionTimestamp !== undefined) return empty(object, context)
      if (isTrue(object.status.conditions, PREPARED)) return settled('it is as it should be')
      return prepare(object, defaultClass, context)
    },
  }
}

async function prepare(
  object: Organization,
  { name, spec }: OrganizationOptions['defaultClass'],
  { store, clock }: ReconcileContext,
): Promise<Outcome> {
  const namespace = object.metadata.name
  const { items } = await store.list('EnvironmentClass', { namespace })
  if (items.length === 0) {
    const draft = { kind: 'EnvironmentClass' as const, metadata: { name, namespace }, spec }
    await store.create(draft).catch((error: unknown) => {
      if (!isFault(error) || error.reason !== 'already_exists') throw error // Somebody was faster, which is as good.
    })
  }
  const classes = items.length === 0 ? [name] : items.map(({ metadata }) => metadata.name)
  const message = `environments can be of class ${classes.join(', ')}`
  const verdict = { type: PREPARED, status: 'True', reason: 'ClassExists', message } as const
  const now = timestamp(clock.now())
  await writeStatus(store, object, ({ status }) => ({
    ...status,
    conditions: setCondition(status.conditions, verdict, now),
  }))
  return settled('it has been prepared')
}

async function empty(object: Organization, { store, clock }: ReconcileContext): Promise<Outcome> {
  if (!object.metadata.finalizers?.includes(ORGANIZATION_FINALIZER)) return settled('others hold it')
  const namespace = object.metadata.name
  const contents = new Map<Kind, readonly Resource[]>()
  for (const kind of CONTENT_KINDS) contents.set(kind, (await store.list(kind, { namespace })).items)
  const { remove, verdicts, isEmpty } = planDeletion(contents)

  // Whoever was let in before it was deleted may still be writing; the next look finds what they have written.
  const isFirst = object.status.phase !== 'Terminating'
  if (isEmpty && !isFirst) {
    await writeMain(store, object, withoutFinalizer)
    return settled('nothing is left in it')
  }
  const now = timestamp(clock.now())
  const told = await writeStatus(store, object, ({ status }) => ({
    ...status,
    phase: 'Terminating',
    conditions: verdicts.reduce((conditions, each) => setCondition(conditions, each, now), status.conditions),
  }))
  await removeAll(remove, each =>
    store.remove(keyOf(each), { uid: each.metadata.uid, propagation: 'Background' }),
  )
  const elapsedMs = clock.now() - Date.parse(object.metadata.deletionTimestamp ?? now)
  const afterMs = Math.min(LATER_MS, Math.max(SOON_MS, elapsedMs / 4))
  return again(afterMs, findCondition(told.status.conditions, CONTENT_REMAINING)?.message ?? '')
}

async function removeAll(
  objects: readonly Resource[],
  remove: (object: Resource) => Promise<unknown>,
): Promise<void> {
  const rest = objects.values()
  const work = async () => {
    for (const each of rest)
      await remove(each).catch((error: unknown) => {
        // Gone already, or made anew under its name: the next look says which.
        if (!isFault(error) || (error.reason !== 'not_found' && error.reason !== 'conflict')) throw error
      })
  }
  await Promise.all(Array.from({ length: REMOVALS_AT_ONCE }, work))
}

function withoutFinalizer(object: Organization): Organization {
  const finalizers = (object.metadata.finalizers ?? []).filter(each => each !== ORGANIZATION_FINALIZER)
  return { ...object, metadata: { ...object.metadata, finalizers } }
}
