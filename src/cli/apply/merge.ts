// Three-way merge for `apply`: what the manifest says now, what it said when it was last applied, what is there. Only
// what the manifest once set is ever removed; what others set stays.
import { jsonEqual } from '../../api/json-equal.ts'

type Json = unknown
type JsonObject = Readonly<Record<string, Json>>

/** kubectl's annotation, so that both tools can be used on one object. */
export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

/** A JSON merge patch (RFC 7386) that brings `live` to what `manifest` says, and removes what only `last` said. */
export function mergePatch(last: JsonObject, manifest: JsonObject, live: JsonObject): JsonObject {
  const patch: Record<string, Json> = {}
  for (const [name, wanted] of Object.entries(manifest)) {
    const is = live[name]
    if (isObject(wanted) && isObject(is)) {
      const before = last[name]
      const inner = mergePatch(isObject(before) ? before : {}, wanted, is)
      if (Object.keys(inner).length > 0) patch[name] = inner
    } else if (!jsonEqual(wanted, is)) patch[name] = wanted
  }
  for (const name of Object.keys(last)) {
    if (!Object.hasOwn(manifest, name) && Object.hasOwn(live, name)) patch[name] = null
  }
  return patch
}

/** What of a manifest is applied: status belongs to controllers, and the server gives uid and revision. */
export function applicable(document: JsonObject, namespace: string | undefined): JsonObject {
  const { status: _status, metadata, ...rest } = document
  const {
    resourceVersion: _rv,
    uid: _uid,
    generation: _generation,
    managedFields: _fields,
    ...kept
  } = metadata as Record<string, Json>
  const annotations = { ...(isObject(kept.annotations) ? kept.annotations : {}) }
  delete annotations[LAST_APPLIED]
  const { annotations: _before, ...names } = kept
  return {
    ...rest,
    metadata: {
      ...names,
      ...(namespace === undefined ? {} : { namespace }),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
  }
}

/** `manifest` with itself in the annotation: what the next `apply` compares with. */
export function withLastApplied(manifest: JsonObject): JsonObject {
  const metadata = manifest.metadata as JsonObject
  const annotations = isObject(metadata.annotations) ? metadata.annotations : {}
  const text = `${JSON.stringify(manifest)}\n`
  return { ...manifest, metadata: { ...metadata, annotations: { ...annotations, [LAST_APPLIED]: text } } }
}

/** The manifest of the last `apply`, from the live object; empty when it was never applied, or by hands that erred. */
export function lastApplied(live: { readonly metadata: { readonly annotations?: JsonObject } }): JsonObject {
  const text = live.metadata.annotations?.[LAST_APPLIED]
  if (typeof text !== 'string') return {}
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    // Edited by hand. Without it nothing is removed, which is the safe side.
    return {}
  }
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
