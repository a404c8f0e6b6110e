import { z } from 'zod'
import { Fault } from '../lib/fault.ts'

/**
 * Where an image comes from, parsed once:
 *
 *   registry.example.com/dev/base:1, alpine@sha256:…      a registry
 *   oci-archive:NAME.tar, oci:NAME                          a file or directory in the runner's archive folder
 *   bootstrap:bookworm                                      made from the host's own Debian mirror
 */
export type ImageReference =
  | { readonly kind: 'registry'; readonly reference: string }
  | { readonly kind: 'archive'; readonly format: 'oci-archive' | 'oci'; readonly name: string }
  | { readonly kind: 'bootstrap'; readonly suite: string }

const SUITE = /^[a-z][a-z0-9]{1,31}$/
// A file name, not a path: a user of the API must not make a runner read files of its choosing.
const ARCHIVE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
// host[:port]/path:tag@digest as the distribution specification has it, length-bounded.
const DOMAIN =
  '(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?'
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const REGISTRY = new RegExp(
  `^(?:${DOMAIN}/)?${COMPONENT}(?:/${COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
)

export function findImageReference(text: string): ImageReference | undefined {
  const scheme = /^(bootstrap|oci-archive|oci):(.*)$/.exec(text)
  if (scheme !== null) {
    const rest = scheme[2] ?? ''
    if (scheme[1] === 'bootstrap') return SUITE.test(rest) ? { kind: 'bootstrap', suite: rest } : undefined
    const format = scheme[1] === 'oci' ? 'oci' : 'oci-archive'
    return ARCHIVE.test(rest) ? { kind: 'archive', format, name: rest } : undefined
  }
  if (text.length > 512 || !REGISTRY.test(text)) return undefined
  const port = /^[^/]*:([0-9]+)\//.exec(text)?.[1]
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined
  return { kind: 'registry', reference: text }
}

/** Faults with `invalid` when `text` names no image. */
export function parseImageReference(text: string): ImageReference {
  const parsed = findImageReference(text)
  if (parsed !== undefined) return parsed
  const hint = 'write registry.example.com/name:tag, oci-archive:FILE, oci:DIRECTORY or bootstrap:bookworm'
  throw new Fault('invalid', 'image-reference-invalid', `'${text}' does not name an image`, { hint })
}

export const imageReferenceSchema = z
  .string()
  .refine(
    text => findImageReference(text) !== undefined,
    'not an image: NAME[:TAG][@DIGEST], oci-archive:FILE, oci:DIR or bootstrap:SUITE',
  )
