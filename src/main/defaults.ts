// What exists after the first start, so that a newcomer's first command works.
import type { Store } from '../core/store.ts'
import { isFault } from '../lib/fault.ts'

export const NAMESPACE = 'default'
export const LOCAL_RUNNER = 'local'

/** The class `small`. Made once: an administrator who changes or deletes it keeps it so. */
export async function ensureDefaultClass(store: Store): Promise<void> {
  const { items } = await store.list('EnvironmentClass', { namespace: NAMESPACE })
  if (items.length > 0) return
  await ignoreExisting(
    store.create({
      kind: 'EnvironmentClass',
      metadata: { name: 'small', namespace: NAMESPACE },
      spec: {
        description: 'For most work.',
        image: 'mcr.microsoft.com/devcontainers/base:bookworm',
        // Made from the host's own package mirror: bash, git, curl, certificates and the usual small tools.
        fallbackImage: 'bootstrap:bookworm',
        memory: '4Gi',
        disk: '20Gi',
        pids: 4096,
      },
    }),
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
