import { describe, expect, test } from 'vitest'
import { OWNER_ANNOTATION } from '../api/ownership.ts'
import type { Kind, Resource } from '../api/resource.ts'
import type { Verb } from './authorization.ts'
import { type AccessQuestion, mayEver } from './may-ever.ts'
import type { Principal } from './principal.ts'

const admin: Principal = { kind: 'user', name: 'root', role: 'admin' }
const ada: Principal = { kind: 'user', name: 'ada', role: 'member' }
const eve: Principal = { kind: 'user', name: 'eve', role: 'viewer' }
const here: Principal = { kind: 'runner', uid: 'u1', namespace: 'default', name: 'here' }

const ask = (principal: Principal, verb: Verb, kind: Kind, more: Partial<AccessQuestion> = {}) =>
  mayEver({ principal, verb, kind, namespace: 'default', scope: 'own', ...more })
const may = (...question: Parameters<typeof ask>) => ask(...question).allow

const environmentOf = (owner: string, runner?: string): Resource =>
  ({
    kind: 'Environment',
    metadata: { name: 'otter', annotations: { [OWNER_ANNOTATION]: owner } },
    spec: { ...(runner === undefined ? {} : { runner }) },
    status: {},
  }) as unknown as Resource

describe('mayEver', () => {
  test('members may do with environments what they may do with own ones', () => {
    const yes: Verb[] = ['get', 'list', 'watch', 'create', 'update', 'delete', 'enter']
    for (const verb of yes) expect(may(ada, verb, 'Environment'), verb).toBe(true)
    expect(may(ada, 'update-status', 'Environment')).toBe(false)
    for (const verb of ['create', 'update', 'delete'] as const) expect(may(ada, verb, 'Runner')).toBe(false)
    expect(ask(ada, 'create', 'EnvironmentClass')).toEqual({
      allow: false,
      why: 'members change environments and snapshots only',
    })
  })

  test('with an object, the answer is about that one', () => {
    expect(may(ada, 'delete', 'Environment', { object: environmentOf('ada') })).toBe(true)
    expect(ask(ada, 'delete', 'Environment', { object: environmentOf('bob') })).toEqual({
      allow: false,
      why: 'it belongs to somebody else',
    })
    expect(may(admin, 'enter', 'Environment', { object: environmentOf('bob') })).toBe(false)
    expect(may(here, 'get', 'Environment', { object: environmentOf('ada', 'here') })).toBe(true)
    expect(may(here, 'get', 'Environment', { object: environmentOf('ada', 'there') })).toBe(false)
  })

  test('in the scope of all objects, own ones do not count', () => {
    expect(may(ada, 'delete', 'Environment', { scope: 'any' })).toBe(false)
    expect(may(ada, 'get', 'Environment', { scope: 'any' })).toBe(true)
    expect(may(admin, 'delete', 'Environment', { scope: 'any' })).toBe(true)
    expect(may(admin, 'enter', 'Environment', { scope: 'any' })).toBe(false)
    expect(may(here, 'list', 'Environment', { scope: 'any' })).toBe(false)
  })

  test('viewers read; admins do everything but enter what is not theirs', () => {
    expect(may(eve, 'list', 'Organization')).toBe(true)
    expect(may(eve, 'create', 'Environment')).toBe(false)
    expect(may(admin, 'create', 'Organization')).toBe(true)
    expect(may(admin, 'update-status', 'Runner')).toBe(true)
    expect(may(admin, 'enroll', 'Runner')).toBe(true)
    expect(may(ada, 'enroll', 'Runner')).toBe(false)
  })

  test('runners may do what concerns them, in their namespace', () => {
    for (const verb of ['get', 'list', 'watch', 'update', 'update-status'] as const)
      expect(may(here, verb, 'Environment'), verb).toBe(true)
    for (const verb of ['create', 'delete', 'enter'] as const)
      expect(may(here, verb, 'Environment')).toBe(false)
    expect(may(here, 'update-status', 'Runner')).toBe(true)
    expect(may(here, 'update', 'Runner')).toBe(false)
    expect(may(here, 'create', 'Event')).toBe(true)
    expect(may(here, 'get', 'Organization')).toBe(false)
    expect(may(here, 'get', 'Environment', { namespace: 'other' })).toBe(false)
  })
})
