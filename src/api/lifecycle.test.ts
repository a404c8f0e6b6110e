import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Fault } from '../lib/fault.ts'
import { checkPrecondition, forCreate, forRemove, forUpdate } from './lifecycle.ts'
import type { Propagation } from './propagation.ts'
import type { Draft, Metadata, Resource } from './resource.ts'

type Env = Resource<'Environment'>

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
const UID = '018f0000-0000-7000-8000-000000000001'
const DRAFT: Draft<'Environment'> = {
  kind: 'Environment',
  metadata: { name: 'otter', namespace: 'default' },
  spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {} },
}
const ALIVE: Env = stored(forCreate(DRAFT, { now: NOW, uid: UID }))
const GUARDED = withMetadata(ALIVE, { finalizers: ['a/one', 'a/two'] })
const DELETING = stored(forRemove(GUARDED, NOW).next)

describe('create', () => {
  test('makes generation 1 with the empty status', () => {
    expect(
      forCreate(
        { ...DRAFT, metadata: { ...DRAFT.metadata, labels: {}, finalizers: ['a/one'] } },
        { now: NOW, uid: UID },
      ),
    ).toEqual({
      apiVersion: 'bothy.dev/v1alpha1',
      kind: 'Environment',
      metadata: {
        name: 'otter',
        namespace: 'default',
        uid: UID,
        resourceVersion: '',
        generation: 1,
        creationTimestamp: '2026-01-02T03:04:05Z',
        finalizers: ['a/one'],
      },
      spec: DRAFT.spec,
      status: { phase: 'Pending', observedGeneration: 0, epoch: 0, conditions: [], stages: [] },
    })
  })

  test.each([undefined, ''])('refuses a namespaced kind in namespace %j', namespace => {
    const metadata = { name: 'otter', ...(namespace === undefined ? {} : { namespace }) }
    expect(fields(() => forCreate({ ...DRAFT, metadata }, { now: NOW, uid: UID }))).toEqual([
      'metadata.namespace',
    ])
  })
})

describe('update of main', () => {
  const spec = (part: Partial<Env['spec']>) => ({ ...ALIVE, spec: { ...ALIVE.spec, ...part } })
  const meta = (part: Partial<Metadata>) => withMetadata(ALIVE, part)

  test.each<[string, Env, Env, 'none' | 'put' | 'remove', number]>([
    // what, current, next, effect, generation after
    ['nothing', ALIVE, ALIVE, 'none', 1],
    ['the status alone', ALIVE, { ...ALIVE, status: { ...ALIVE.status, epoch: 7 } }, 'none', 1],
    ['the generation alone', ALIVE, meta({ generation: 9 }), 'none', 1],
    ['empty labels for none', ALIVE, meta({ labels: {}, finalizers: [] }), 'none', 1],
    ['another time of creation', ALIVE, meta({ creationTimestamp: '2020-01-01T00:00:00Z' }), 'none', 1],
    ['another time of deletion', DELETING, withMetadata(DELETING, { deletionTimestamp: 'x' }), 'none', 2],
    ['labels', ALIVE, meta({ labels: { a: 'b' } }), 'put', 1],
    ['a finalizer', ALIVE, meta({ finalizers: ['a/one'] }), 'put', 1],
    ['the spec', ALIVE, spec({ desired: 'Stopped' }), 'put', 2],
    [
      'the spec of a deleted object',
      DELETING,
      { ...DELETING, spec: { ...ALIVE.spec, desired: 'Stopped' } },
      'put',
      3,
    ],
    ['a set-once field, from absent', ALIVE, spec({ runner: 'one' }), 'put', 2],
    ['no finalizers, not deleted', GUARDED, withMetadata(GUARDED, { finalizers: [] }), 'put', 1],
    ['one of two finalizers', DELETING, withMetadata(DELETING, { finalizers: ['a/two'] }), 'put', 2],
    ['the last finalizers', DELETING, withMetadata(DELETING, { finalizers: [] }), 'remove', 2],
  ])('%s', (_, current, next, effect, generation) => {
    const step = forUpdate(current, next, 'main')
    expect(step.effect).toBe(effect)
    expect(step.next.metadata.generation).toBe(generation)
    expect(step.next.status).toEqual(current.status)
    if (effect === 'none') expect(step.next).toBe(current)
  })

  const bound = spec({ runner: 'one' })
  const { runner: _, ...unboundSpec } = bound.spec
  test.each<[string, Env, Env]>([
    ['metadata.name', ALIVE, meta({ name: 'other' })],
    ['metadata.namespace', ALIVE, meta({ namespace: 'other' })],
    ['metadata.uid', ALIVE, meta({ uid: UID.replace('1', '2') })],
    ['metadata.deletionTimestamp', ALIVE, meta({ deletionTimestamp: '2026-01-02T03:04:05Z' })],
    ['metadata.finalizers', DELETING, withMetadata(DELETING, { finalizers: ['a/one', 'a/two', 'a/three'] })],
    ['spec.class', ALIVE, spec({ class: 'large' })],
    ['spec.content', ALIVE, spec({ content: { upload: { directory: 'x' } } })],
    ['spec.image', ALIVE, spec({ image: 'debian:12' })],
    ['spec.runner', bound, spec({ runner: 'two' })],
    ['spec.runner', bound, { ...bound, spec: unboundSpec }],
  ])('refuses to change %s', (field, current, next) => {
    expect(fields(() => forUpdate(current, next, 'main'))).toEqual([field])
  })

  test('names every field that is wrong', () => {
    const next = withMetadata(spec({ class: 'large', image: 'debian:12' }), { uid: 'x' })
    expect(fields(() => forUpdate(ALIVE, next, 'main'))).toEqual(['metadata.uid', 'spec.class', 'spec.image'])
  })

  test('keeps what a manifest leaves out, and never unsets a deletion', () => {
    const { uid: _1, creationTimestamp: _2, deletionTimestamp: _3, ...rest } = DELETING.metadata
    const next = { ...DELETING, metadata: { ...rest, labels: { a: 'b' } } } as unknown as Env
    expect(forUpdate(DELETING, next, 'main').next.metadata).toEqual({
      ...DELETING.metadata,
      labels: { a: 'b' },
    })
  })
})

test('update of status ignores everything else', () => {
  const status = { ...ALIVE.status, epoch: 3 }
  const next = {
    ...withMetadata(ALIVE, { name: 'x', labels: { a: 'b' } }),
    spec: { ...ALIVE.spec, class: 'x' },
    status,
  }
  expect(forUpdate(ALIVE, next, 'status')).toEqual({ next: { ...ALIVE, status }, effect: 'put' })
})

test.each<[string, Env, 'none' | 'put' | 'remove']>([
  ['without finalizers it goes at once', ALIVE, 'remove'],
  ['with finalizers it waits', GUARDED, 'put'],
  ['asked again, nothing happens', DELETING, 'none'],
])('remove: %s', (_, current, effect) => {
  const step = forRemove(current, NOW)
  expect(step.effect).toBe(effect)
  const { deletionTimestamp, generation } = step.next.metadata
  expect([deletionTimestamp, generation]).toEqual(
    effect === 'remove' ? [undefined, 1] : ['2026-01-02T03:04:05Z', 2],
  )
})

const FOREGROUND = withMetadata(DELETING, { finalizers: ['a/one', 'foregroundDeletion'] })
const ORPHANING = withMetadata(DELETING, { finalizers: ['orphan'] })
test.each<[string, Env, Propagation | undefined, 'none' | 'put' | 'remove', string[]]>([
  ['nothing said, nothing held', ALIVE, undefined, 'remove', []],
  ['in the foreground it waits for its dependents', ALIVE, 'Foreground', 'put', ['foregroundDeletion']],
  ['orphaning takes a moment', GUARDED, 'Orphan', 'put', ['a/one', 'a/two', 'orphan']],
  ['the collector is asked once', FOREGROUND, 'Foreground', 'none', ['a/one', 'foregroundDeletion']],
  ['asked again without a word, it stays so', ORPHANING, undefined, 'none', ['orphan']],
  ['asked for something else', FOREGROUND, 'Orphan', 'put', ['a/one', 'orphan']],
  ['not waiting any longer', ORPHANING, 'Background', 'remove', ['orphan']],
])('remove and its dependents: %s', (_, current, propagation, effect, finalizers) => {
  const step = forRemove(current, NOW + 60_000, propagation)
  expect(step.effect).toBe(effect)
  expect(step.next.metadata.finalizers ?? []).toEqual(finalizers)
  // Deletion begins once.
  if (effect === 'put') expect(step.next.metadata.generation).toBe(2)
  if (current === FOREGROUND)
    expect(step.next.metadata.deletionTimestamp).toBe(DELETING.metadata.deletionTimestamp)
})

test.each<[string, { uid?: string; resourceVersion?: string }, boolean]>([
  ['nothing', {}, true],
  ['the right uid', { uid: UID }, true],
  ['another uid', { uid: 'x' }, false],
  ['the right revision', { resourceVersion: '1' }, true],
  ['another revision', { resourceVersion: '2' }, false],
  ['no revision', { resourceVersion: '' }, false],
])('precondition: %s', (_, precondition, holds) => {
  const check = () => checkPrecondition('update', ALIVE, precondition)
  if (holds) expect(check).not.toThrow()
  else expect(check).toThrow(expect.objectContaining({ reason: 'conflict' }))
})

describe('properties', () => {
  const name = fc.constantFrom('a', 'b', 'constructor', '__proto__', 'x.y/z')
  const words = fc.dictionary(name, fc.string({ maxLength: 3 }), { maxKeys: 3, noNullPrototype: true })
  const spec = fc.record({
    desired: fc.constantFrom('Running' as const, 'Stopped' as const),
    env: words,
  })
  const metadata = fc.record({ labels: words, annotations: words })
  const env = fc.record({ spec, metadata, epoch: fc.nat(3) }).map(({ spec, metadata, epoch }): Env => {
    const draft = { ...DRAFT, metadata: { ...DRAFT.metadata, ...metadata }, spec: { ...DRAFT.spec, ...spec } }
    const made = stored(forCreate(draft, { now: NOW, uid: UID }))
    return { ...made, status: { ...made.status, epoch } }
  })

  test('key order does not matter', () => {
    fc.assert(
      fc.property(env, fc.constantFrom('main' as const, 'status' as const), (current, part) => {
        expect(forUpdate(current, reversed(current) as Env, part)).toEqual({ next: current, effect: 'none' })
      }),
    )
  })

  test('each half leaves the other alone, and generation counts specs', () => {
    fc.assert(
      fc.property(env, env, (current, next) => {
        const main = forUpdate(current, next, 'main').next
        expect(main).toEqual({
          ...next,
          metadata: { ...next.metadata, generation: main.metadata.generation },
          status: current.status,
        })
        const changed = JSON.stringify(sorted(current.spec)) !== JSON.stringify(sorted(next.spec))
        expect(main.metadata.generation).toBe(changed ? 2 : 1)
        expect(forUpdate(current, next, 'status').next).toEqual({ ...current, status: next.status })
      }),
    )
  })

  test('a write is idempotent', () => {
    fc.assert(
      fc.property(env, env, (current, next) => {
        const once = forUpdate(current, next, 'main').next
        expect(forUpdate(once, next, 'main')).toEqual({ next: once, effect: 'none' })
      }),
    )
  })

  test('a life ends exactly when it is deleted and nobody holds it', () => {
    const finalizers = fc.subarray(['a/one', 'a/two', 'a/three'])
    const act = fc.oneof(fc.constant('remove' as const), finalizers)
    fc.assert(
      fc.property(fc.array(act, { maxLength: 12 }), acts => {
        let current = ALIVE
        for (const each of acts) {
          const before = current.metadata
          const wanted = each === 'remove' ? (before.finalizers ?? []) : each
          const isDeleting = before.deletionTimestamp !== undefined
          if (isDeleting && wanted.some(one => !before.finalizers?.includes(one))) {
            expect(
              fields(() => forUpdate(current, withMetadata(current, { finalizers: wanted }), 'main')),
            ).toContain('metadata.finalizers')
            continue
          }
          const { next, effect } =
            each === 'remove'
              ? forRemove(current, NOW)
              : forUpdate(current, withMetadata(current, { finalizers: wanted }), 'main')
          expect(effect === 'remove').toBe(wanted.length === 0 && (isDeleting || each === 'remove'))
          if (isDeleting) expect(next.metadata.deletionTimestamp).toBe(before.deletionTimestamp)
          expect(next.metadata.generation).toBeGreaterThanOrEqual(before.generation)
          if (effect === 'remove') return
          current = next
        }
      }),
    )
  })
})

function stored(resource: Env): Env {
  return withMetadata(resource, { resourceVersion: '1' })
}

function withMetadata(resource: Env, metadata: Partial<Metadata>): Env {
  return { ...resource, metadata: { ...resource.metadata, ...metadata } }
}

function fields(act: () => unknown): readonly string[] {
  try {
    act()
  } catch (error) {
    const fault = error as Fault
    expect(fault.reason).toBe('invalid')
    return fault.causes.map(cause => cause.field)
  }
  throw new Error('expected a fault')
}

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, each]) => [key, reversed(each)]),
  )
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return entries.map(([key, each]) => [key, sorted(each)])
}
