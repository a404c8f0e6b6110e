import type { Resource } from '../../api/resource.ts'
import { objectPath } from '../../client/paths.ts'
import { Fault, isFault } from '../../lib/fault.ts'
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
  const before = await session.store.find(key)
  const written = await session
    .request('PATCH', objectPath(key), {
      body: applicable(manifest.document, key.namespace),
      query: {
        fieldManager: options.fieldManager,
        force: String(options.forceConflicts === true),
        // Unknown fields are typing errors until proven otherwise.
        fieldValidation: 'Strict',
      },
      contentType: 'application/apply-patch+yaml',
    })
    .catch((error: unknown) => {
      throw withAdvice(error)
    })
  const object = written as Resource
  if (before === undefined) return { object, what: 'created' }
  const isSame = object.metadata.resourceVersion === before.metadata.resourceVersion
  return { object, what: isSame ? 'unchanged' : 'configured' }
}

/** What to do about fields that somebody else has set. */
function withAdvice(error: unknown): unknown {
  const isOurs = isFault(error) && error.causes.some(({ reason }) => reason === 'FieldManagerConflict')
  if (!isOurs) return error
  const { reason, code, message, causes } = error
  const hint =
    'leave these fields out of the file, or write what is there, or take them over with --force-conflicts'
  return new Fault(reason, code, message, { cause: error, causes, hint })
}
