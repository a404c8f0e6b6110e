// Client-side apply keeps its manifest in an annotation. When kubectl changes over to server-side apply, the server
// helps: what the annotation says and still holds was kubectl's own all along.
import { compareValues } from './compare.ts'
import { fieldSetOf } from './field-set.ts'
import { asMap, goJson, type JsonMap, omit, own } from './json.ts'
import { difference, EMPTY, type PathSet } from './path-set.ts'
import type { Type } from './type.ts'

const ANNOTATION = 'kubectl.kubernetes.io/last-applied-configuration'

/** The only manager that this is for; whoever wants none of it names another. */
export const KUBECTL = 'kubectl'

/** Kubernetes' limit on all annotations together. */
const ANNOTATIONS_BYTES = 256 * 1024

/** The paths that `kubectl apply` set last time and that nobody has changed since. */
export function pathsLastApplied(type: Type, live: JsonMap, apiVersion: string): PathSet {
  const manifest = parse(annotationOf(live))
  if (manifest === undefined || own(manifest, 'apiVersion') !== apiVersion) return EMPTY
  const { added, modified, removed } = compareValues(type, manifest, live)
  return [modified, added, removed].reduce(difference, fieldSetOf(type, manifest))
}

/** The object with the manifest in its annotation, if it has that annotation; itself when that says the same already. */
export function withLastApplied(object: JsonMap, config: JsonMap): JsonMap {
  const before = annotationOf(object)
  if (before === undefined || before === '') return object
  const after = `${goJson(withoutAnnotation(config))}\n`
  if (after === before) return object
  const metadata = asMap(own(object, 'metadata')) ?? {}
  const annotations = { ...asMap(own(metadata, 'annotations')), [ANNOTATION]: after }
  const fits = new TextEncoder().encode(JSON.stringify(annotations)).length <= ANNOTATIONS_BYTES
  return {
    ...object,
    metadata: { ...metadata, annotations: fits ? annotations : omit(annotations, [ANNOTATION]) },
  }
}

function annotationOf(object: JsonMap): string | undefined {
  const text = own(asMap(own(asMap(own(object, 'metadata')), 'annotations')), ANNOTATION)
  return typeof text === 'string' ? text : undefined
}

function withoutAnnotation(config: JsonMap): JsonMap {
  const metadata = asMap(own(config, 'metadata'))
  const annotations = asMap(own(metadata, 'annotations'))
  if (annotations === undefined || !Object.hasOwn(annotations, ANNOTATION)) return config
  return { ...config, metadata: { ...metadata, annotations: omit(annotations, [ANNOTATION]) } }
}

function parse(text: string | undefined): JsonMap | undefined {
  if (text === undefined) return undefined
  try {
    return asMap(JSON.parse(text))
  } catch {
    // Anybody may write an annotation. One that is no manifest tells nothing.
    return undefined
  }
}
