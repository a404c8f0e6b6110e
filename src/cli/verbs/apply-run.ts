import type { Key, Resource } from '../../api/resource.ts'
import { objectPath } from '../../client/paths.ts'
import { Fault, type FieldCause, isFault } from '../../lib/fault.ts'
import { applicable, type Manifest } from '../apply/manifests.ts'
import { readManifests } from '../apply/read-manifests.ts'
import type { Deps, Session } from '../deps.ts'
import { listOf, printResources, printValue, qualifiedName } from '../output/formats.ts'
import { keyIn } from '../targets.ts'
import type { ApplyOptions } from './apply.ts'

type Applied = { readonly object: Resource; readonly what: 'created' | 'configured' | 'unchanged' }

export async function runApply(session: Session, deps: Deps, options: ApplyOptions): Promise<void> {
  const { filename, output } = options
  const applied: Applied[] = []
  for (const manifest of await readManifests(filename, deps)) {
    const one = await apply(session, manifest, options)
    applied.push(one)
    if (output === 'table') deps.stdout.write(`${qualifiedName(one.object)} ${one.what}\n`)
  }
  if (output === 'table') return
  const objects = applied.map(({ object }) => object)
  if (output !== 'json' && output !== 'yaml') {
    for (const object of objects) await printResources(object.kind, [object], output, deps)
    return
  }
  await printValue(listOf(objects, objects.length === 1), output, deps)
}

async function apply(session: Session, manifest: Manifest, options: ApplyOptions): Promise<Applied> {
  const key = keyIn(manifest.kind, manifest.name, manifest.namespace ?? session.namespace)
  const config = applicable(manifest.document, key.namespace)
  for (let attempt = 1; ; attempt++) {
    const before = await session.store.find(key)
    const send = async (force: boolean, revision?: string): Promise<Applied> => {
      const body = revision === undefined ? config : atRevision(config, revision)
      const object = await patch(session, key, body, { force, fieldManager: options.fieldManager })
      if (before === undefined) return { object, what: 'created' }
      const isSame = object.metadata.resourceVersion === before.metadata.resourceVersion
      return { object, what: isSame ? 'unchanged' : 'configured' }
    }
    try {
      return await send(options.forceConflicts === true)
    } catch (error) {
      if (!isFault(error) || !isTakeable(error) || before === undefined) throw withAdvice(error)
    }
    try {
      return await send(true, before.metadata.resourceVersion)
    } catch (error) {
      // Somebody wrote it since we looked: perhaps a field that is not ours to take any more.
      if (!isFault(error) || error.reason !== 'conflict' || attempt === 3) throw withAdvice(error)
    }
  }
}

async function patch(
  session: Session,
  key: Key,
  body: Readonly<Record<string, unknown>>,
  { force, fieldManager }: { readonly force: boolean; readonly fieldManager: string },
): Promise<Resource> {
  return session.request<Resource>('PATCH', objectPath(key), {
    body,
    // Unknown fields are typing errors until proven otherwise.
    query: { fieldManager, force: String(force), fieldValidation: 'Strict' },
    contentType: 'application/apply-patch+yaml',
  })
}

function atRevision(config: Readonly<Record<string, unknown>>, resourceVersion: string) {
  return { ...config, metadata: { ...(config.metadata as object), resourceVersion } }
}

// What this program's other verbs set is set by hand, and so is what was there before anybody kept account (the server's
// word for it): a file comes after that. Other managers, other files among them, are asked for.
const TAKEABLE = /^conflict with "(?:bothy|before-first-apply)"/

function isTakeable({ causes }: Fault): boolean {
  return causes.length > 0 && causes.every(each => isFieldConflict(each) && TAKEABLE.test(each.message))
}

const isFieldConflict = ({ reason }: FieldCause): boolean => reason === 'FieldManagerConflict'

/** What to do about fields that somebody else has set. */
function withAdvice(error: unknown): unknown {
  if (!isFault(error) || !error.causes.some(isFieldConflict)) return error
  const { reason, code, message, causes } = error
  const hint =
    'leave these fields out of the file, or write what is there, or take them over with --force-conflicts'
  return new Fault(reason, code, message, { cause: error, causes, hint })
}
