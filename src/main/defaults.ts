// What exists after the first start, so that a newcomer's first command works.
import { DEFAULT_ORGANIZATION } from '../api/kinds/organization.ts'
import { KINDS } from '../api/kinds/registry.ts'
import type { Draft, Kind } from '../api/resource.ts'
import type { Store } from '../core/store.ts'
import { isFault } from '../lib/fault.ts'

export const NAMESPACE = DEFAULT_ORGANIZATION
export const LOCAL_RUNNER = 'local'

/** What an organization begins with. */
export const DEFAULT_CLASS: Pick<Draft<'EnvironmentClass'>, 'spec'> & { readonly name: string } = {
  name: 'small',
  spec: {
    description: 'For most work.',
    image: 'mcr.microsoft.com/devcontainers/base:bookworm',
    // Made from the host's own package mirror: bash, git, curl, certificates and the usual small tools.
    fallbackImage: 'bootstrap:bookworm',
    memory: '4Gi',
    // What an idle shell and a small language server take: 24 GiB have room for 92 of them, with swap for 138.
    memoryGuarantee: '256Mi',
    disk: '20Gi',
    pids: 4096,
  },
}

/**
 * The organization `default`, and one for each namespace that has something in it but none: namespaces needed no
 * organization once.
 */
export async function ensureOrganizations(store: Store): Promise<void> {
  const namespaces = new Set<string>([DEFAULT_ORGANIZATION])
  // Events are no contents: they outlive what they tell of, its organization included.
  const contents = (Object.keys(KINDS) as Kind[]).filter(kind => KINDS[kind].namespaced && kind !== 'Event')
  for (const kind of contents) {
    const { items } = await store.list(kind)
    for (const { metadata } of items) namespaces.add(metadata.namespace ?? DEFAULT_ORGANIZATION)
  }
  for (const { metadata } of (await store.list('Organization')).items) namespaces.delete(metadata.name)
  for (const name of namespaces)
    await ignoreExisting(store.create({ kind: 'Organization', metadata: { name }, spec: {} }))
}

/** The class `small` of the organization `default`, there before the first request comes. */
export async function ensureDefaultClass(store: Store): Promise<void> {
  const { items } = await store.list('EnvironmentClass', { namespace: NAMESPACE })
  if (items.length > 0) return
  const { name, spec } = DEFAULT_CLASS
  await ignoreExisting(
    store.create({ kind: 'EnvironmentClass', metadata: { name, namespace: NAMESPACE }, spec }),
  )
}

export async function ensureLocalRunner(store: Store): Promise<void> {
  const key = { kind: 'Runner', namespace: NAMESPACE, name: LOCAL_RUNNER } as const
  if ((await store.find(key)) !== undefined) return
  await ignoreExisting(
    store.create({
      kind: 'Runner',
      metadata: { name: LOCAL_RUNNER, namespace: NAMESPACE },
      spec: { cordoned: false },
    }),
  )
}

async function ignoreExisting(write: Promise<unknown>): Promise<void> {
  await write.catch((error: unknown) => {
    // Somebody was faster, which is as good.
    if (!isFault(error) || error.reason !== 'already_exists') throw error
  })
}
