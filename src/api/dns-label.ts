/** A DNS label (RFC 1123), without its bound of 63 characters: what Kubernetes takes as most names. */
export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

/** Could this be the name of an object? */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && DNS_LABEL.test(text)
}

/** A DNS subdomain (RFC 1123), without its bound of 253 characters: labels with dots between them. */
export const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
