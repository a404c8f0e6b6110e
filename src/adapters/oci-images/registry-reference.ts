/** A registry reference, taken apart once: the same parts are asked about and pulled. */
export interface RegistryImage {
  /** As the user wrote it. */
  readonly text: string
  /** `host` or `host:port` as configured and shown. */
  readonly registry: string
  readonly repository: string
  readonly tag: string
  readonly digest: string | undefined
}

/**
 * Takes a valid reference apart by the rule that every client of registries follows: what stands before the first
 * slash is a host only if it looks like one; otherwise the image is Docker Hub's.
 */
export function splitReference(text: string): RegistryImage {
  const [name, digest] = text.split('@') as [string, string | undefined]
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  const hasHost = first === 'localhost' || /[.:A-Z]/.test(first)
  const registry = hasHost ? first : 'docker.io'
  const rest = hasHost ? name.slice(slash + 1) : name
  const colon = rest.lastIndexOf(':')
  const path = colon === -1 ? rest : rest.slice(0, colon)
  const repository = registry === 'docker.io' && !path.includes('/') ? `library/${path}` : path
  return { text, registry, repository, tag: colon === -1 ? 'latest' : rest.slice(colon + 1), digest }
}
