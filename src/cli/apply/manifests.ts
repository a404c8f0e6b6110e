// Manifests: what people keep in files. Parsed once, into objects that have at least a kind and a name.
import { LineCounter, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { apiVersionOf, findKind, KIND_NAMES, namesOf } from '../../api/kinds/kind-names.ts'
import { API_VERSION, type Kind } from '../../api/resource.ts'
import { Fault } from '../../lib/fault.ts'

const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string().min(1), namespace: z.string().min(1).optional() }),
})

/** Everything else of it is the server's to judge. */
export interface Manifest {
  readonly kind: Kind
  readonly name: string
  readonly namespace: string | undefined
  /** The document as it was written, with `kind` as it is spelt properly. */
  readonly document: Readonly<Record<string, unknown>>
}

/**
 * All documents of a YAML or JSON text; `List` documents are taken apart. Faults with `malformed` or `invalid` and says
 * where: `FILE:LINE:COLUMN`.
 */
export function parseManifests(text: string, file: string): Manifest[] {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { prettyErrors: false, lineCounter: lines })
  if (!Array.isArray(documents)) return []
  return documents.flatMap((document, index) => {
    const at = (offset: number) => {
      const { line, col } = lines.linePos(offset)
      return `${file}:${line}:${col}`
    }
    const error = document.errors[0]
    if (error !== undefined) {
      throw new Fault('malformed', 'manifest-malformed', `read ${at(error.pos[0])}: ${error.message}`, {
        hint: 'check indentation and quotes near that line',
      })
    }
    const value: unknown = document.toJS({ maxAliasCount: 100 })
    if (value === null || value === undefined) return []
    const where =
      documents.length === 1 ? at(document.range[0]) : `${at(document.range[0])} (document ${index + 1})`
    return itemsOf(value).map(item => parseManifest(item, where))
  })
}

function itemsOf(value: unknown): unknown[] {
  const list = z.object({ kind: z.string().regex(/List$/), items: z.array(z.unknown()) }).safeParse(value)
  return list.success ? list.data.items : [value]
}

function parseManifest(value: unknown, where: string): Manifest {
  const parsed = manifestSchema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const field = issue === undefined || issue.path.length === 0 ? 'the document' : issue.path.join('.')
    throw new Fault(
      'invalid',
      'manifest-invalid',
      `read ${where}: ${field}: ${issue?.message ?? 'invalid'}`,
      {
        hint: `a manifest has apiVersion: ${API_VERSION}, kind, and metadata.name`,
      },
    )
  }
  const { apiVersion, kind: word, metadata } = parsed.data
  const kind = findKind(word)
  const served = kind === undefined ? API_VERSION : apiVersionOf(namesOf(kind))
  if (apiVersion !== served) {
    throw new Fault('invalid', 'manifest-version', `read ${where}: apiVersion ${apiVersion} is not served`, {
      hint: `write apiVersion: ${served}`,
    })
  }
  if (kind === undefined) {
    const hint = `there are ${Object.keys(KIND_NAMES).join(', ')}`
    throw new Fault('invalid', 'manifest-kind', `read ${where}: there is no kind '${word}'`, { hint })
  }
  return { kind, name: metadata.name, namespace: metadata.namespace, document: { ...parsed.data, kind } }
}

/**
 * What of a manifest is applied, as objects that were read and edited are manifests too: status belongs to controllers,
 * and the server gives times, uid and revision. `namespace` is where it goes, '' where kinds have none.
 */
export function applicable(
  document: Manifest['document'],
  namespace: string,
): Readonly<Record<string, unknown>> {
  const { status: _status, metadata, ...rest } = document
  const {
    creationTimestamp: _created,
    resourceVersion: _revision,
    uid: _uid,
    generation: _generation,
    managedFields: _fields,
    ...names
  } = metadata as Record<string, unknown>
  return { ...rest, metadata: { ...names, ...(namespace === '' ? {} : { namespace }) } }
}
