import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { openPostgres } from './open-postgres.ts'

const NOW = 1_700_000_000_000
const KEYS = { signingKey: '{"kty":"OKP","x":"s"}', sealingKey: '{"kty":"OKP","x":"e"}' }

let db: TestDatabase
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())

test('a user is found by any token, with the role given last', async () => {
  const { credentials } = db
  await credentials.putUserToken({ name: 'ada', role: 'member' }, 'hash-1')
  await credentials.putUserToken({ name: 'ada', role: 'admin' }, 'hash-2')
  expect(await credentials.findUser('hash-1')).toEqual({ name: 'ada', role: 'admin' })
  expect(await credentials.findUser('hash-2')).toEqual({ name: 'ada', role: 'admin' })
  expect(await credentials.findUser('hash-3')).toBeUndefined()
})

test('an enrolment token registers its runner once, whoever tries at the same time', async () => {
  const { credentials } = db
  await credentials.putEnrollmentToken(token('once', 'uid-1'))
  const tries = await Promise.all(
    Array.from({ length: 6 }, () => credentials.redeemEnrollment('once', KEYS, NOW)),
  )
  const runner = { uid: 'uid-1', namespace: 'default', name: 'here', ...KEYS }
  expect(tries.filter(each => each !== undefined)).toEqual([runner])
  expect(await credentials.findRunner('uid-1')).toEqual(runner)
  expect(await credentials.redeemEnrollment('once', KEYS, NOW)).toBeUndefined()
})

test('an expired or unknown token registers nobody', async () => {
  const { credentials } = db
  await credentials.putEnrollmentToken({ ...token('late', 'uid-2'), expiresAtMs: NOW })
  expect(await credentials.redeemEnrollment('late', KEYS, NOW)).toBeUndefined()
  expect(await credentials.redeemEnrollment('never', KEYS, NOW)).toBeUndefined()
  expect(await credentials.findRunner('uid-2')).toBeUndefined()
})

test('a new enrolment replaces the keys', async () => {
  const { credentials } = db
  for (const [hash, signingKey] of [
    ['first', 'old'],
    ['second', 'new'],
  ] as const) {
    await credentials.putEnrollmentToken(token(hash, 'uid-3'))
    await credentials.redeemEnrollment(hash, { ...KEYS, signingKey }, NOW)
  }
  expect(await credentials.findRunner('uid-3')).toMatchObject({ signingKey: 'new' })
})

test('a revoked runner is nobody, and its unused tokens do not bring it back', async () => {
  const { credentials } = db
  await credentials.putEnrollmentToken(token('used', 'uid-4'))
  await credentials.putEnrollmentToken(token('spare', 'uid-4'))
  await credentials.redeemEnrollment('used', KEYS, NOW)
  await credentials.revokeRunner('uid-4')
  expect(await credentials.findRunner('uid-4')).toBeUndefined()
  expect(await credentials.redeemEnrollment('spare', KEYS, NOW)).toBeUndefined()
  await credentials.revokeRunner('uid-4')
})

test('leases remember the latest beat of each holder', async () => {
  await db.leases.renew('runner-1', NOW)
  await db.leases.renew('runner-2', NOW + 5)
  await db.leases.renew('runner-1', NOW + 10)
  await db.leases.renew('runner-1', NOW + 7)
  expect(await db.leases.list()).toEqual(
    new Map([
      ['runner-1', NOW + 10],
      ['runner-2', NOW + 5],
    ]),
  )
})

test('heartbeats move no revision', async () => {
  const before = await db.store.list('Runner')
  await db.leases.renew('runner-1', NOW + 20)
  expect((await db.store.list('Runner')).at).toBe(before.at)
})

function token(hash: string, runnerUid: string) {
  return { hash, runnerUid, namespace: 'default', name: 'here', expiresAtMs: NOW + 1 }
}

test('what another server takes away is worth nothing here, long before it would be forgotten', async () => {
  const { credentials } = db
  const other = await openPostgres({ url: db.url, log: silentLog, clock: systemClock })
  try {
    await credentials.putUserToken({ name: 'eve', role: 'admin' }, 'hash-eve')
    await credentials.putEnrollmentToken(token('taken', 'uid-taken'))
    await credentials.redeemEnrollment('taken', KEYS, NOW)
    const signal = AbortSignal.timeout(5_000)
    const until = async (read: () => Promise<boolean>) => {
      while (!(await read())) {
        signal.throwIfAborted()
        // What is remembered is answered at once: without a turn of the event loop nothing new would ever be heard.
        await setImmediate()
      }
    }
    expect(await credentials.findUser('hash-eve')).toEqual({ name: 'eve', role: 'admin' })
    await other.credentials.putUserToken({ name: 'eve', role: 'viewer' }, 'hash-eve-2')
    await until(async () => (await credentials.findUser('hash-eve'))?.role === 'viewer')
    expect(await credentials.findRunner('uid-taken')).toBeDefined()
    await other.credentials.revokeRunner('uid-taken')
    await until(async () => (await credentials.findRunner('uid-taken')) === undefined)
  } finally {
    await other.close()
  }
})
