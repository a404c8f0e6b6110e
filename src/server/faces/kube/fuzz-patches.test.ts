// Patches: any on any document. What they make is what they say, and nobody reaches a prototype by them.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attempt, clean, document, isProtoFree, json } from '../../../../test/support/fuzz.ts'
import { jsonPatch } from './json-patch.ts'
import { mergePatch } from './merge-patch.ts'
import { strategicMergePatch } from './strategic-merge-patch.ts'

describe('patches', () => {
  test('merge: leads from any document to any other', () => {
    // That key is refused at the border.
    const plain = document.filter(each => isProtoFree(JSON.stringify(each))).map(withoutNull)
    fc.assert(
      fc.property(plain, plain, (from, to) => {
        const before = structuredClone(from)
        const patch = difference(from, to)
        expect(mergePatch(from, patch)).toEqual(to)
        expect(mergePatch(to, patch)).toEqual(to)
        expect(from).toEqual(before)
      }),
    )
    clean()
  })

  test('merge: whatever is no object replaces, and null never stays below the patch', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const result = mergePatch(target, patch)
        if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) expect(result).toEqual(patch)
        else
          for (const [name, value] of Object.entries(patch))
            if (value === null) expect(Object.keys(result as object)).not.toContain(name)
      }),
    )
    clean()
  })

  test('JSON patch: what was added is there, the document stays as it was, and nobody reaches a prototype', () => {
    const step = fc.constantFrom(
      'a',
      'b',
      'c',
      '0',
      '1',
      '-',
      '01',
      '__proto__',
      'constructor',
      'prototype',
      '~0',
      '~1',
      '~',
      '',
    )
    const pointer = fc.array(step, { maxLength: 4 }).map(steps => steps.map(each => `/${each}`).join(''))
    for (const patch of [[{ op: 'remove', path: '' }], [{ op: 'move', from: '', path: '/a' }]])
      expect(() => jsonPatch({ a: 1 }, patch)).toThrow(/no such place/)
    const operation = fc.record(
      {
        op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'nothing'),
        path: pointer,
        from: pointer,
        value: json,
      },
      { requiredKeys: ['op', 'path'] },
    )
    fc.assert(
      fc.property(document, fc.array(operation, { maxLength: 5 }), (target, patch) => {
        const before = structuredClone(target)
        attempt(() => jsonPatch(target, JSON.parse(JSON.stringify(patch))))
        expect(target).toEqual(before)
      }),
    )
    fc.assert(
      fc.property(document, pointer, json, (target, path, value) => {
        const said = JSON.parse(JSON.stringify(value)) as unknown
        const patched = attempt(() => jsonPatch(target, [{ op: 'add', path, value: said }]))
        if (patched !== undefined && !path.endsWith('/-'))
          expect(jsonPatch(patched, [{ op: 'test', path, value: said }])).toEqual(patched)
      }),
    )
    clean()
  })

  test('strategic merge: any patch on any document', () => {
    const directives = fc.dictionary(
      fc.constantFrom(
        '$patch',
        '$retainKeys',
        '$setElementOrder/finalizers',
        '$deleteFromPrimitiveList/finalizers',
        'finalizers',
        'ownerReferences',
        'conditions',
        'metadata',
      ),
      fc.oneof(json, fc.constantFrom('replace', 'delete', 'merge'), fc.array(json, { maxLength: 3 })),
      { maxKeys: 4 },
    )
    fc.assert(
      fc.property(fc.oneof(document, directives), fc.oneof(json, directives), (target, patch) => {
        const before = structuredClone(target)
        attempt(() => strategicMergePatch(target, patch))
        expect(target).toEqual(before)
      }),
    )
    clean()
  })
})

function withoutNull<T>(value: T): T {
  return JSON.parse(JSON.stringify(value, (_, each) => (each === null ? 0 : each))) as T
}

/** The merge patch from one document without nulls to another. */
function difference(from: Record<string, unknown>, to: Record<string, unknown>): Record<string, unknown> {
  const isMap = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  const patch: Record<string, unknown> = {}
  for (const name of Object.keys(from)) if (!Object.hasOwn(to, name)) patch[name] = null
  for (const [name, value] of Object.entries(to)) {
    const was = Object.hasOwn(from, name) ? from[name] : undefined
    patch[name] = isMap(value) ? difference(isMap(was) ? was : {}, value) : value
  }
  return patch
}
