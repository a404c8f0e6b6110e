import { describe, expect, test } from 'vitest'
import { KINDS } from '../api/kinds/registry.ts'
import type { Kind, Resource } from '../api/resource.ts'
import { type AccessRequest, authorize, type Verb } from './authorization.ts'
import type { Principal } from './principal.ts'

const PRINCIPALS: Record<string, Principal> = {
  admin: { kind: 'user', name: 'root', role: 'admin' },
  owner: { kind: 'user', name: 'ada', role: 'member' },
  member: { kind: 'user', name: 'bob', role: 'member' },
  viewer: { kind: 'user', name: 'eve', role: 'viewer' },
  runner: { kind: 'runner', uid: 'uid-here', namespace: 'default', name: 'here' },
  otherRunner: { kind: 'runner', uid: 'uid-there', namespace: 'default', name: 'there' },
  namesake: { kind: 'runner', uid: 'uid-old', namespace: 'default', name: 'here' },
  stranger: { kind: 'runner', uid: 'uid-far', namespace: 'far', name: 'here' },
}

const SPECS: { [K in Kind]: object } = {
  Environment: { desired: 'Running', class: 'small', runner: 'here', content: { empty: {} }, env: {} },
  EnvironmentClass: { image: 'alpine', memory: '1Gi', disk: '1Gi', pids: 100 },
  Snapshot: { environment: 'x', runner: 'here' },
  Runner: { cordoned: false },
  Organization: {},
  Event: {
    regarding: { kind: 'Environment', name: 'x', uid: 'uid-x' },
    reportingInstance: 'here',
  },
}

function object(kind: Kind, metadata: object = {}, spec: object = {}): Resource {
  return {
    apiVersion: 'bothy.dev/v1alpha1',
    kind,
    metadata: {
      name: kind === 'Runner' ? 'here' : 'x',
      namespace: 'default',
      uid: kind === 'Runner' ? 'uid-here' : 'uid-x',
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: '2030-01-01T00:00:00Z',
      annotations: { 'bothy.dev/owner': 'ada' },
      ...metadata,
    },
    spec: { ...SPECS[kind], ...spec },
    status: KINDS[kind].emptyStatus,
  } as unknown as Resource
}

const VERBS: readonly Verb[] = [
  'get',
  'list',
  'watch',
  'create',
  'update',
  'update-status',
  'delete',
  'enter',
  'enroll',
]

/** Every principal on an object that belongs to `ada` and is bound to runner `here`: what each may do, and no more. */
const MATRIX: Record<string, { [K in Kind]: string }> = {
  admin: {
    Environment: 'get list watch create update update-status delete enroll',
    EnvironmentClass: 'get list watch create update update-status delete enroll',
    Snapshot: 'get list watch create update update-status delete enroll',
    Runner: 'get list watch create update update-status delete enroll',
    Organization: 'get list watch create update update-status delete enroll',
    Event: 'get list watch create update update-status delete enroll',
  },
  owner: {
    Environment: 'get list watch create update delete enter',
    EnvironmentClass: 'get list watch enter',
    Snapshot: 'get list watch create update delete enter',
    Runner: 'get list watch enter',
    Organization: 'get list watch enter',
    Event: 'get list watch enter',
  },
  member: {
    Environment: 'get list watch create',
    EnvironmentClass: 'get list watch',
    Snapshot: 'get list watch create',
    Runner: 'get list watch',
    Organization: 'get list watch',
    Event: 'get list watch',
  },
  viewer: {
    Environment: 'get list watch',
    EnvironmentClass: 'get list watch',
    Snapshot: 'get list watch',
    Runner: 'get list watch',
    Organization: 'get list watch',
    Event: 'get list watch',
  },
  runner: {
    Environment: 'get update-status',
    EnvironmentClass: 'get list watch',
    Snapshot: 'get update-status',
    Runner: 'get update-status',
    Organization: '',
    Event: 'get create update',
  },
  otherRunner: {
    Environment: '',
    EnvironmentClass: 'get list watch',
    Snapshot: '',
    Runner: '',
    Organization: '',
    Event: '',
  },
  namesake: {
    Environment: 'get update-status',
    EnvironmentClass: 'get list watch',
    Snapshot: 'get update-status',
    Runner: '',
    Organization: '',
    Event: 'get create update',
  },
  stranger: { Environment: '', EnvironmentClass: '', Snapshot: '', Runner: '', Organization: '', Event: '' },
}

function request(
  principal: Principal,
  verb: Verb,
  kind: Kind,
  more: Partial<AccessRequest> = {},
): AccessRequest {
  const before = ['list', 'watch', 'create'].includes(verb) ? {} : { before: object(kind) }
  const draft = object(kind, verb === 'create' ? { annotations: {} } : { labels: { changed: 'yes' } })
  const spec = { ...draft.spec, runner: verb === 'create' ? undefined : 'here' }
  const after = kind === 'Environment' || kind === 'Snapshot' ? ({ ...draft, spec } as Resource) : draft
  const writes = ['create', 'update', 'update-status'].includes(verb) ? { after } : {}
  const subject = kind === 'Event' ? { subject: object('Environment') } : {}
  return { principal, verb, kind, namespace: 'default', ...before, ...writes, ...subject, ...more }
}

describe('principals x kinds x verbs', () => {
  for (const [name, allowed] of Object.entries(MATRIX))
    for (const kind of Object.keys(KINDS) as Kind[])
      test(`${name} on ${kind}: ${allowed[kind] || 'nothing'}`, () => {
        const may = VERBS.filter(verb => authorize(request(PRINCIPALS[name]!, verb, kind)).allow)
        expect(may.join(' ')).toBe(allowed[kind])
      })
})

describe('the finer rules', () => {
  const { admin, owner, member, runner } = PRINCIPALS as Record<string, Principal>
  const deleted = {
    deletionTimestamp: '2030-01-01T00:00:00Z',
    finalizers: ['bothy.dev/runner', 'example.com/x'],
  }
  const environment = (metadata: object = {}, spec: object = {}) => object('Environment', metadata, spec)
  const cases: [string, AccessRequest, boolean][] = [
    [
      'nobody changes the owner, not even an admin',
      request(admin!, 'update', 'Environment', {
        after: environment({ annotations: { 'bothy.dev/owner': 'root' } }),
      }),
      false,
    ],
    [
      'nobody takes the owner away',
      request(owner!, 'update', 'Environment', { after: environment({ annotations: {} }) }),
      false,
    ],
    [
      'a member binds no environment to a runner when creating it',
      request(member!, 'create', 'Environment', { after: environment({ annotations: {} }) }),
      false,
    ],
    [
      'an admin may',
      request(admin!, 'create', 'Environment', { after: environment({ annotations: {} }) }),
      true,
    ],
    ...(['Environment', 'Snapshot'] as const).flatMap((kind): [string, AccessRequest, boolean][] =>
      (['admin', 'owner', 'member'] as const).map(who => [
        `${who} ${who === 'owner' ? 'copies' : 'does not copy'} what is the owner's: ${kind}`,
        request(PRINCIPALS[who]!, 'create', kind, {
          source: object('Environment'),
          after: object(
            kind,
            { annotations: { 'bothy.dev/owner': { admin: 'root', owner: 'ada', member: 'bob' }[who] } },
            { runner: undefined },
          ),
        }),
        who === 'owner',
      ]),
    ),
    [
      'a member binds no snapshot to a runner',
      request(member!, 'create', 'Snapshot', { after: object('Snapshot', { annotations: {} }) }),
      false,
    ],
    [
      'an owner does not bind it later',
      request(owner!, 'update', 'Environment', {
        before: environment({}, { runner: undefined }),
        after: environment({}, { runner: 'there' }),
      }),
      false,
    ],
    [
      "an owner does not remove the runner's finalizer",
      request(owner!, 'update', 'Environment', {
        before: environment(deleted),
        after: environment({ ...deleted, finalizers: ['example.com/x'] }),
      }),
      false,
    ],
    [
      'an owner removes a finalizer of their own',
      request(owner!, 'update', 'Environment', {
        before: environment(deleted),
        after: environment({ ...deleted, finalizers: ['bothy.dev/runner'] }),
      }),
      true,
    ],
    [
      'a runner removes its finalizer from a deleted environment',
      request(runner!, 'update', 'Environment', {
        before: environment(deleted),
        after: environment({ ...deleted, finalizers: ['example.com/x'] }),
      }),
      true,
    ],
    [
      'a runner removes no other finalizer',
      request(runner!, 'update', 'Environment', {
        before: environment(deleted),
        after: environment({ ...deleted, finalizers: [] }),
      }),
      false,
    ],
    [
      'a runner changes nothing else on that occasion',
      request(runner!, 'update', 'Environment', {
        before: environment(deleted),
        after: environment({ ...deleted, finalizers: ['example.com/x'] }, { env: { A: '1' } }),
      }),
      false,
    ],
    [
      'a runner removes no finalizer while nobody asked for deletion',
      request(runner!, 'update', 'Environment', {
        before: environment({ finalizers: ['bothy.dev/runner'] }),
        after: environment({ finalizers: [] }),
      }),
      false,
    ],
    [
      'a runner lists what is bound to it',
      request(runner!, 'list', 'Environment', { fields: { 'spec.runner': 'here' } }),
      true,
    ],
    [
      'a runner does not list what is bound to another',
      request(runner!, 'watch', 'Environment', { fields: { 'spec.runner': 'there' } }),
      false,
    ],
    [
      'a runner does not list another namespace',
      request(runner!, 'list', 'Environment', { namespace: 'far', fields: { 'spec.runner': 'here' } }),
      false,
    ],
    [
      'a runner does not list all namespaces',
      request(runner!, 'list', 'Environment', { namespace: '', fields: { 'spec.runner': 'here' } }),
      false,
    ],
    [
      'a runner watches itself',
      request(runner!, 'watch', 'Runner', { fields: { 'metadata.name': 'here' } }),
      true,
    ],
    [
      'a runner does not see what is bound to nobody',
      request(runner!, 'get', 'Environment', { before: environment({}, { runner: undefined }) }),
      false,
    ],
    [
      'an owner who is a viewer by now does not enter',
      request({ kind: 'user', name: 'ada', role: 'viewer' }, 'enter', 'Environment'),
      false,
    ],
    [
      'nobody enters what has no owner',
      request(admin!, 'enter', 'Environment', { before: environment({ annotations: {} }) }),
      false,
    ],
  ]
  test.each(cases)('%s', (_, asked, allowed) => {
    expect(authorize(asked).allow).toBe(allowed)
  })
})
