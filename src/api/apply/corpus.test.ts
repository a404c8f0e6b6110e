import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { applyConfig, applyUpdate, type Managers, type State } from './apply.ts'
import { toFieldsV1 } from './fields-v1.ts'
import { printElement } from './path-element.ts'
import { typeOfSchema } from './schema-type.ts'

interface Step {
  readonly op: 'apply' | 'update'
  readonly manager: string
  readonly object: unknown
  readonly force?: boolean
}

interface Expected {
  readonly err?: string
  readonly conf?: readonly string[]
  readonly object: unknown
  readonly managers: Readonly<Record<string, unknown>>
  readonly applied: Readonly<Record<string, boolean>>
}

const data = new URL('./testdata/', import.meta.url)
const type = typeOfSchema(JSON.parse(readFileSync(new URL('schema.json', data), 'utf8')))
const histories = gunzipSync(readFileSync(new URL('histories.jsonl.gz', data)))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map(line => JSON.parse(line) as { readonly ops: readonly Step[]; readonly expected: readonly Expected[] })

test('every step of 2,000 golden histories gives the object, the sets and the conflicts that Kubernetes gives', () => {
  expect(histories).toHaveLength(2000)
  const kinds = new Set<string>()
  histories.forEach(({ ops, expected }, number) => {
    let state: State = { object: {}, managers: new Map() }
    ops.forEach((step, index) => {
      const wanted = expected[index]
      if (wanted === undefined) throw new Error(`history ${number} has no answer to step ${index}`)
      const { state: next, conflicts } = take(state, step)
      const where = `history ${number}, step ${index}`
      expect(conflicts, where).toEqual(wanted.err === 'conflict' ? [...(wanted.conf ?? [])].sort() : [])
      expect(next.object, where).toEqual(wanted.object)
      // As text: the keys of fieldsV1 must come in the same order too.
      expect(setsOf(next.managers), where).toBe(textOf(Object.entries(wanted.managers)))
      expect(appliedOf(next.managers), where).toEqual(wanted.applied)
      kinds.add(conflicts.length > 0 ? 'conflict' : step.op)
      state = next
    })
  })
  expect([...kinds].sort()).toEqual(['apply', 'conflict', 'update'])
})

function take(state: State, step: Step): { state: State; conflicts: readonly string[] } {
  if (step.op === 'update') {
    const managers = applyUpdate(type, state, step.object, step.manager)
    return { state: { object: step.object, managers }, conflicts: [] }
  }
  const result = applyConfig(type, state, step.object, step.manager, { force: step.force === true })
  if (result.outcome === 'ok') return { state: result, conflicts: [] }
  const conflicts = result.conflicts.map(({ manager, path }) => manager + path.map(printElement).join(''))
  return { state, conflicts: conflicts.sort() }
}

function setsOf(managers: Managers): string {
  return textOf([...managers].map(([name, { set }]) => [name, toFieldsV1(set)]))
}

function textOf(entries: readonly (readonly [string, unknown])[]): string {
  return JSON.stringify([...entries].sort(([a], [b]) => (a < b ? -1 : 1)))
}

function appliedOf(managers: Managers): Record<string, boolean> {
  return Object.fromEntries([...managers].map(([name, { applied }]) => [name, applied]))
}
