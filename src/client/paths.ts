// Paths of the API, and selectors in their query.
import { apiVersionOf, namesOf } from '../api/kinds/kind-names.ts'
import type { Key, Kind } from '../api/resource.ts'
import type { ListOptions } from '../core/store.ts'

/** `…/namespaces/NS/PLURAL`; without a namespace, all objects of the kind. */
export function collectionPath(kind: Kind, namespace: string | undefined): string {
  const names = namesOf(kind)
  const { plural, namespaced } = names
  const scope =
    namespaced && namespace !== undefined && namespace !== ''
      ? `/namespaces/${encodeURIComponent(namespace)}`
      : ''
  return `/apis/${apiVersionOf(names)}${scope}/${plural}`
}

/** `…/PLURAL/NAME[/SUBRESOURCE]`. */
export function objectPath(key: Key, subresource?: string): string {
  const path = `${collectionPath(key.kind, key.namespace)}/${encodeURIComponent(key.name)}`
  return subresource === undefined ? path : `${path}/${subresource}`
}

/** The query parameters that restrict a list or a watch. */
export function selectorQuery({ fields, labels }: ListOptions): Record<string, string> {
  return {
    ...(fields === undefined ? {} : { fieldSelector: equalities(fields) }),
    ...(labels === undefined ? {} : { labelSelector: equalities(labels) }),
  }
}

export function withQuery(path: string, query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(query).toString()
  return text === '' ? path : `${path}?${text}`
}

function equalities(wanted: Readonly<Record<string, string>>): string {
  // Kubernetes' escapes of field selectors; labels cannot hold these characters.
  return Object.entries(wanted)
    .map(([path, value]) => `${path}=${value.replace(/[\\,=]/g, '\\$&')}`)
    .join(',')
}
