import type pg from 'pg'
import type {
  CredentialStore,
  EnrollmentToken,
  RunnerIdentity,
  UserIdentity,
} from '../../core/credentials.ts'
import type { Clock } from '../../lib/clock.ts'
import { LookUpCache } from './look-up-cache.ts'
import { sqlFault } from './sql-faults.ts'

const RUNNER = 'uid, namespace, name, signing_key AS "signingKey", sealing_key AS "sealingKey"'

/** Keeps what was found while it hears of every change: see `LookUpCache`. */
export class PostgresCredentials implements CredentialStore {
  readonly #pool: pg.Pool
  readonly #users: LookUpCache<UserIdentity>
  readonly #runners: LookUpCache<RunnerIdentity>

  constructor(pool: pg.Pool, clock: Clock) {
    this.#pool = pool
    this.#users = new LookUpCache(clock)
    this.#runners = new LookUpCache(clock)
  }

  /** A notification: some credential has changed, or changes are heard of from now on. */
  readonly changed = (): void => {
    this.#users.listening(true)
    this.#runners.listening(true)
  }

  /** Changes are not heard of from now on. */
  readonly deaf = (): void => {
    this.#users.listening(false)
    this.#runners.listening(false)
  }

  async putUserToken({ name, role }: UserIdentity, hash: string): Promise<void> {
    await this.#query(
      `store a token of user ${name}`,
      `WITH account AS (
         INSERT INTO bothy.user_account (name, role) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET role = excluded.role)
       INSERT INTO bothy.user_token (hash, user_name) VALUES ($3, $1)
       ON CONFLICT (hash) DO UPDATE SET user_name = excluded.user_name`,
      [name, role, hash],
    )
    this.#users.clear()
  }

  findUser(tokenHash: string): Promise<UserIdentity | undefined> {
    return this.#users.get(tokenHash, async () => {
      const rows = await this.#query<UserIdentity>(
        'look up a user',
        `SELECT a.name, a.role FROM bothy.user_token t JOIN bothy.user_account a ON a.name = t.user_name WHERE t.hash = $1`,
        [tokenHash],
      )
      return rows[0]
    })
  }

  async putEnrollmentToken(token: EnrollmentToken): Promise<void> {
    await this.#query(
      `store an enrolment token of runner ${token.namespace}/${token.name}`,
      `INSERT INTO bothy.enrollment_token (hash, runner_uid, namespace, name, expires_at_ms)
       VALUES ($1, $2, $3, $4, $5)`,
      [token.hash, token.runnerUid, token.namespace, token.name, token.expiresAtMs],
    )
  }

  async redeemEnrollment(
    hash: string,
    keys: Pick<RunnerIdentity, 'signingKey' | 'sealingKey'>,
    nowMs: number,
  ): Promise<RunnerIdentity | undefined> {
    // One statement: of two who redeem the same token at once, one deletes the row and the other finds none.
    const rows = await this.#query<RunnerIdentity>(
      'redeem an enrolment token',
      `WITH used AS (DELETE FROM bothy.enrollment_token WHERE hash = $1 RETURNING *)
       INSERT INTO bothy.runner_identity (uid, namespace, name, signing_key, sealing_key)
       SELECT runner_uid, namespace, name, $2, $3 FROM used WHERE expires_at_ms > $4
       ON CONFLICT (uid) DO UPDATE SET signing_key = excluded.signing_key, sealing_key = excluded.sealing_key,
         enrolled_at = now()
       RETURNING ${RUNNER}`,
      [hash, keys.signingKey, keys.sealingKey, nowMs],
    )
    this.#runners.clear()
    return rows[0]
  }

  findRunner(uid: string): Promise<RunnerIdentity | undefined> {
    return this.#runners.get(uid, async () => {
      const rows = await this.#query<RunnerIdentity>(
        `look up runner ${uid}`,
        `SELECT ${RUNNER} FROM bothy.runner_identity WHERE uid = $1`,
        [uid],
      )
      return rows[0]
    })
  }

  async revokeRunner(uid: string): Promise<void> {
    // Its unused tokens too: they would bring it back.
    await this.#query(
      `revoke runner ${uid}`,
      `WITH tokens AS (DELETE FROM bothy.enrollment_token WHERE runner_uid = $1)
       DELETE FROM bothy.runner_identity WHERE uid = $1`,
      [uid],
    )
    this.#runners.clear()
  }

  /** Forgets tokens that nobody can redeem any more. */
  async sweep(nowMs: number): Promise<void> {
    await this.#query(
      'forget expired enrolment tokens',
      'DELETE FROM bothy.enrollment_token WHERE expires_at_ms <= $1',
      [nowMs],
    )
  }

  async #query<Row extends object>(what: string, text: string, values: unknown[]): Promise<Row[]> {
    try {
      return (await this.#pool.query<Row>(text, values)).rows
    } catch (error) {
      throw sqlFault(error, what)
    }
  }
}
