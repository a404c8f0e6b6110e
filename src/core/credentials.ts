// Who may act, kept beside the resources and never inside them. Secrets are stored hashed (SHA-256 of 256 random bits
// needs no slow hash); runners are known by public keys.

export type UserRole = 'admin' | 'member' | 'viewer'

export interface UserIdentity {
  readonly name: string
  readonly role: UserRole
}

export interface RunnerIdentity {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** Ed25519 public key (JWK, JSON): verifies what the runner signs. */
  readonly signingKey: string
  /** X25519 public key (JWK, JSON): what secrets for it are sealed to. */
  readonly sealingKey: string
}

export interface EnrollmentToken {
  readonly hash: string
  readonly runnerUid: string
  readonly namespace: string
  readonly name: string
  readonly expiresAtMs: number
}

/**
 * Look-ups may answer from memory. What this process changes counts at once; what another one changes counts as soon as
 * the database has told all of them (milliseconds), and after 15 s at the very latest.
 */
export interface CredentialStore {
  putUserToken(user: UserIdentity, hash: string): Promise<void>
  findUser(tokenHash: string): Promise<UserIdentity | undefined>
  putEnrollmentToken(token: EnrollmentToken): Promise<void>
  /** Uses the token up and registers the runner's keys in one transaction; undefined when unknown, used or expired. */
  redeemEnrollment(
    hash: string,
    keys: Pick<RunnerIdentity, 'signingKey' | 'sealingKey'>,
    nowMs: number,
  ): Promise<RunnerIdentity | undefined>
  findRunner(uid: string): Promise<RunnerIdentity | undefined>
  /** Its keys are worth nothing from now on. */
  revokeRunner(uid: string): Promise<void>
}

/** Heartbeats: a table of their own, never a resource revision. */
export interface LeaseStore {
  renew(holder: string, nowMs: number): Promise<void>
  /** When each holder was last heard of, in milliseconds since the epoch. */
  list(): Promise<ReadonlyMap<string, number>>
}
