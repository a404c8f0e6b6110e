import { namesOf, qualifiedName } from '../../../../api/kinds/kind-names.ts'
import { Fault, isFault } from '../../../../lib/fault.ts'
import type { Served } from '../served.ts'

type Named = NonNullable<Fault['object']>

/**
 * What was thrown, in the words of the view: whoever asked for `namespaces "x"` does not look for `organizations.bothy.dev
 * "x"`. What is about something else stays as it is.
 */
export function seenAs(served: Served, error: unknown): unknown {
  if (!isFault(error)) return error
  const native = namesOf(served.stored)
  const { object, reason, code, cause, causes, hint, continue: more } = error
  const isNative =
    object?.group === native.group && (object.kind === native.plural || object.kind === native.kind)
  const message = error.message.replaceAll(`${qualifiedName(native)} "`, `${qualifiedName(served)} "`)
  return new Fault(reason, code, message, {
    ...(object === undefined ? {} : { object: isNative ? named(served, object) : object }),
    ...(hint === undefined ? {} : { hint }),
    ...(more === undefined ? {} : { continue: more }),
    causes,
    cause,
  })
}

/** As Kubernetes does, the group of the core is left out. */
function named({ stored, kind, plural, group }: Served, object: Named): Named {
  const { name, uid } = object
  return {
    kind: object.kind === stored ? kind : plural,
    ...(group === '' ? {} : { group }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
  }
}
