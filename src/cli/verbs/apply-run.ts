import type { Key, Resource } from '../../api/resource.ts'
import { GROUP } from '../../api/resource.ts'
import { collectionPath, objectPath } from '../../client/paths.ts'
import { isFault } from '../../lib/fault.ts'
import type { Manifest } from '../apply/manifests.ts'
import { applicable, lastApplied, mergePatch, withLastApplied } from '../apply/merge.ts'
import { readManifests } from '../apply/read-manifests.ts'
import type { Deps, Session } from '../deps.ts'
import { type Format, printResources, printValue } from '../output/formats.ts'
import { oneLine } from '../output/text.ts'
import { keyIn } from '../targets.ts'

type Applied = { readonly object: Resource; readonly what: 'created' | 'configured' | 'unchanged' }

export async function runApply(
  session: Session,
  deps: Deps,
  files: readonly string[],
  output: Format,
): Promise<void> {
  const applied: Applied[] = []
  for (const manifest of await readManifests(files, deps)) {
    const one = await apply(session, manifest)
    applied.push(one)
    if (output === 'table') deps.stdout.write(`${describe(one.object)} ${one.what}\n`)
  }
  if (output === 'table') return
  const objects = applied.map(({ object }) => object)
  if (output !== 'json' && output !== 'yaml') {
    for (const object of objects) await printResources(object.kind, [object], output, deps)
    return
  }
  const value = objects.length === 1 ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects }
  await printValue(value, output, deps)
}

async function apply(session: Session, manifest: Manifest): Promise<Applied> {
  const key = keyIn(manifest.kind, manifest.name, manifest.namespace ?? session.namespace)
  // Between our look and our write somebody may create or delete it; the second look sees that.
  for (let attempt = 1; ; attempt++) {
    const live = await session.store.find(key)
    try {
      return live === undefined
        ? await create(session, manifest, key)
        : await change(session, manifest, key, live)
    } catch (error) {
      const isOvertaken = isFault(error) && ['already_exists', 'not_found', 'conflict'].includes(error.reason)
      if (!isOvertaken || attempt === 3) throw error
    }
  }
}

async function create(session: Session, manifest: Manifest, key: Key): Promise<Applied> {
  const body = withLastApplied(
    applicable(manifest.document, key.namespace === '' ? undefined : key.namespace),
  )
  const path = collectionPath(key.kind, key.namespace)
  return { object: await session.request<Resource>('POST', path, { body, query: STRICT }), what: 'created' }
}

async function change(session: Session, manifest: Manifest, key: Key, live: Resource): Promise<Applied> {
  const wanted = applicable(manifest.document, key.namespace === '' ? undefined : key.namespace)
  const body = mergePatch(
    lastApplied(live),
    withLastApplied(wanted),
    live as unknown as Readonly<Record<string, unknown>>,
  )
  if (Object.keys(body).length === 0) return { object: live, what: 'unchanged' }
  const object = await session.request<Resource>('PATCH', objectPath(key), {
    body,
    query: STRICT,
    contentType: 'application/merge-patch+json',
  })
  const isSame = object.metadata.resourceVersion === live.metadata.resourceVersion
  return { object, what: isSame ? 'unchanged' : 'configured' }
}

// Unknown fields are typing errors until proven otherwise.
const STRICT = { fieldValidation: 'Strict' }

function describe({ kind, metadata }: Resource): string {
  return oneLine(`${kind.toLowerCase()}.${GROUP}/${metadata.name}`)
}
