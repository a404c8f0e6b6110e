import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applyConfig, applyUpdate, type State } from './apply.ts'
import { fieldSetOf } from './field-set.ts'
import { parseFieldsV1, toFieldsV1 } from './fields-v1.ts'
import { asMap, own } from './json.ts'
import { applyConfiguration, trackUpdate } from './managed-fields.ts'
import { objectType } from './object-type.ts'
import { fieldElement } from './path-element.ts'
import {
  difference,
  has,
  intersection,
  pathsOf,
  recursiveDifference,
  sameSet,
  setOf,
  union,
} from './path-set.ts'
import { typeOfSchema } from './schema-type.ts'

const text = { type: 'string' }
const spec = {
  type: 'object',
  properties: {
    class: text,
    env: { type: 'object', additionalProperties: text },
    sub: { type: 'object', properties: { a: text, b: text } },
    keys: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
    ports: {
      type: 'array',
      items: { type: 'object', properties: { port: { type: 'integer' }, name: text } },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['port'],
    },
    args: { type: 'array', items: text },
    free: {},
  },
}
const type = typeOfSchema({ type: 'object', properties: { spec } })
const wholeType = objectType({ spec })

const value = fc.constantFrom('1', '2', '3')
const envOf = (keys: readonly string[]) => fc.dictionary(fc.constantFrom(...keys), value)
const specs = fc.record(
  {
    class: value,
    env: envOf(['A', 'B', '__proto__', 'constructor']),
    sub: fc.record({ a: value, b: value }, { requiredKeys: [] }),
    keys: fc.uniqueArray(value),
    ports: fc.uniqueArray(
      fc.record({ port: fc.integer({ min: 1, max: 3 }), name: value }, { requiredKeys: ['port'] }),
      { selector: item => item.port },
    ),
    args: fc.array(value, { maxLength: 2 }),
    free: fc.jsonValue({ maxDepth: 3 }),
  },
  { requiredKeys: [], noNullPrototype: true },
)
const objects = specs.map(each => ({ spec: each }))

const steps = fc.array(
  fc.record({ apply: fc.boolean(), manager: fc.constantFrom('m1', 'm2', 'm3'), object: objects }),
  { maxLength: 5 },
)

// As managed-fields.ts has it.
const SEIZE = { force: true, steady: true } as const

type Steps = typeof steps extends fc.Arbitrary<infer T> ? T : never

function run(writes: Steps): State {
  let state: State = { object: {}, managers: new Map() }
  for (const { apply, manager, object } of writes) {
    if (apply) {
      const result = applyConfig(type, state, object, `${manager}-apply`, SEIZE)
      if (result.outcome === 'ok') state = result
    } else {
      state = { object, managers: applyUpdate(type, state, object, `${manager}-update`) }
    }
  }
  return state
}

function forced(state: State, config: unknown, manager: string): State {
  const result = applyConfig(type, state, config, manager, SEIZE)
  if (result.outcome === 'conflict') throw new Error('a forced apply conflicted')
  return result
}

describe('apply', () => {
  test('is idempotent', () => {
    fc.assert(
      fc.property(steps, objects, (writes, config) => {
        const once = forced(run(writes), config, 'm1-apply')
        const twice = applyConfig(type, once, structuredClone(config), 'm1-apply', { steady: true })
        expect(twice.outcome).toBe('ok')
        if (twice.outcome !== 'ok') return
        expect(twice.object).toBe(once.object)
        expect([...twice.managers.keys()].sort()).toEqual([...once.managers.keys()].sort())
        for (const [id, { set }] of twice.managers)
          expect(sameSet(set, once.managers.get(id)?.set ?? set)).toBe(true)
      }),
    )
  })

  test('never lets managers of disjoint fields disturb each other', () => {
    const mine = fc.record({ env: envOf(['A', 'B']), class: value }, { requiredKeys: [] })
    const theirs = fc.record({ env: envOf(['C', 'D']), sub: fc.record({ a: value }) }, { requiredKeys: [] })
    fc.assert(
      fc.property(mine, theirs, mine, (first, others, second) => {
        let state: State = { object: {}, managers: new Map() }
        for (const [manager, config] of [
          ['me', first],
          ['them', others],
          ['me', second],
        ] as const) {
          const result = applyConfig(type, state, { spec: config }, manager)
          expect(result.outcome).toBe('ok')
          if (result.outcome === 'ok') state = result
        }
        const alone = forced({ object: {}, managers: new Map() }, { spec: others }, 'them')
        const ours = alone.managers.get('them')
        const now = state.managers.get('them')
        expect(now === undefined).toBe(ours === undefined)
        if (now !== undefined && ours !== undefined) expect(sameSet(now.set, ours.set)).toBe(true)
        const result = asMap(own(asMap(state.object), 'spec'))
        expect(result?.['sub']).toEqual(others.sub)
        expect(result?.['class']).toBe(second.class)
        expect({ ...asMap(result?.['env']) }).toEqual({ ...second.env, ...others.env })
      }),
    )
  })

  test('removes what a manager leaves out if and only if nobody else owns it', () => {
    const key = fc.constantFrom('A', 'B')
    fc.assert(
      fc.property(steps, envOf(['A', 'B']), key, value, (writes, rest, name, before) => {
        const state = forced(run(writes), { spec: { env: { ...rest, [name]: before } } }, 'm1-apply')
        const path = ['spec', 'env', name].map(fieldElement)
        const shared = [...state.managers].some(([id, { set }]) => id !== 'm1-apply' && has(set, path))
        const without = Object.fromEntries(Object.entries(rest).filter(([each]) => each !== name))
        const after = forced(state, { spec: { env: without } }, 'm1-apply')
        const env = asMap(own(asMap(own(asMap(after.object), 'spec')), 'env')) ?? {}
        expect(Object.hasOwn(env, name)).toBe(shared)
      }),
    )
  })

  test('leaves the live object itself when nothing changes, entries and all', () => {
    fc.assert(
      fc.property(specs, specs, (live, config) => {
        const whole = (each: unknown) => ({
          apiVersion: 'v1',
          kind: 'K',
          metadata: { name: 'n' },
          spec: each,
        })
        const common = { type: wholeType, apiVersion: 'v1', force: true } as const
        const first = trackUpdate({
          ...common,
          live: undefined,
          next: whole(live),
          manager: 'a',
          now: '2026-01-01T00:00:00Z',
        })
        const write = { ...common, manager: 'b', config: whole(config) }
        const once = applyConfiguration({ ...write, live: first, now: '2026-01-01T00:00:01Z' })
        if (once.outcome !== 'ok') throw new Error('a forced apply conflicted')
        const stored = JSON.parse(JSON.stringify(once.object))
        const twice = applyConfiguration({ ...write, live: stored, now: '2026-01-01T00:00:02Z' })
        expect(twice.outcome === 'ok' && twice.object).toBe(stored)
        const next = { ...JSON.parse(JSON.stringify(stored)), metadata: { name: 'n' } }
        const again = trackUpdate({
          ...common,
          live: stored,
          next,
          manager: 'c',
          now: '2026-01-01T00:00:03Z',
        })
        expect(again.metadata).toHaveProperty('managedFields', stored.metadata.managedFields)
      }),
    )
  })
})

const scalar = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 4 }),
  fc.integer(),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)
const elements = fc.oneof(
  fc.constantFrom('f:a', 'f:b', 'f:__proto__', 'i:0', 'v:1', 'k:{"port":1}'),
  fc.string({ unit: 'binary', maxLength: 4 }).map(fieldElement),
)
const paths = fc.array(fc.array(elements, { minLength: 1, maxLength: 3 }), { maxLength: 6 })
const textOf = (path: readonly string[]): string => JSON.stringify(path)

describe('sets of paths', () => {
  test('are what sets of paths are', () => {
    fc.assert(
      fc.property(paths, paths, (left, right) => {
        const [a, b] = [setOf(...left), setOf(...right)]
        const [as, bs] = [new Set(left.map(textOf)), new Set(right.map(textOf))]
        const all = (set: typeof a) => [...pathsOf(set)].map(textOf).sort()
        const those = (of: readonly string[], keep: (path: string) => boolean) => of.filter(keep).sort()
        expect(all(a)).toEqual([...as].sort())
        expect(all(union(a, b))).toEqual([...new Set([...as, ...bs])].sort())
        expect(all(intersection(a, b))).toEqual(those([...as], path => bs.has(path)))
        expect(all(difference(a, b))).toEqual(those([...as], path => !bs.has(path)))
        const below = (path: string) =>
          right.some(each => textOf((JSON.parse(path) as string[]).slice(0, each.length)) === textOf(each))
        expect(all(recursiveDifference(a, b))).toEqual(those([...as], path => !below(path)))
      }),
    )
  })

  test('survive their wire form, which has one order only', () => {
    fc.assert(
      fc.property(paths, fc.array(scalar), (some, items) => {
        // The items of a set come into a path as their own JSON text.
        const listed = typeOfSchema({ type: 'array', items: {}, 'x-kubernetes-list-type': 'set' })
        const set = union(setOf(...some), fieldSetOf(listed, items))
        const wire = JSON.stringify(toFieldsV1(set))
        const back = parseFieldsV1(JSON.parse(wire))
        expect(sameSet(back, set)).toBe(true)
        const shuffled = setOf(...[...pathsOf(set)].reverse())
        expect(JSON.stringify(toFieldsV1(shuffled))).toBe(wire)
      }),
    )
  })
})
