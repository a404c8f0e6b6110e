import type { UserRole } from '../core/credentials.ts'

/** Who acts. Every request that is not public has one; every decision, log line and object names it. */
export type Principal =
  | { readonly kind: 'user'; readonly name: string; readonly role: UserRole }
  | { readonly kind: 'runner'; readonly uid: string; readonly namespace: string; readonly name: string }

/** `user:ada`, `runner:default/here`: for logs, faults and the subject of tokens. */
export function describePrincipal(principal: Principal): string {
  return principal.kind === 'user'
    ? `user:${principal.name}`
    : `runner:${principal.namespace}/${principal.name}`
}
