// Whatever comes over the network is read or refused: the parsers of this face never throw anything but a fault that is
// the client's, and what they read means what it should. fast-check prints the seed of a failure.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseEntries } from '../../../api/apply/parse-entries.ts'
import { findGitUrl } from '../../../api/git-url.ts'
import { findImageReference } from '../../../api/image-reference.ts'
import { nameSchema, subdomainSchema } from '../../../api/names.ts'
import { isFault, REASONS } from '../../../lib/fault.ts'
import { chooseDiscovery, chooseForm, chooseOpenApiV2, parseAccept } from './accept.ts'
import { parseAppliedBody, parseObjectBody, parsePatchBody, VIEW_PATCH_TYPES } from './body.ts'
import { parseDeleteOptions } from './delete-options.ts'
import { jsonPatch } from './json-patch.ts'
import { parseJsonText } from './json-text.ts'
import { checkListOptions } from './list-options.ts'
import { mergePatch } from './merge-patch.ts'
import { metadataSchema } from './metadata.ts'
import { decodeObject, PROTOBUF } from './protobuf/envelope.ts'
import { join, message, string, strings } from './protobuf/writer.ts'
import * as query from './query.ts'
import {
  LABEL_KEY,
  LABEL_VALUE,
  parseFieldSelector,
  parseLabelSelector,
  type Requirement,
} from './selectors.ts'
import { strategicMergePatch } from './strategic-merge-patch.ts'
import { formatPath, judgeFields, Problems } from './strict-parse.ts'
import { parseYamlText } from './yaml-text.ts'

fc.configureGlobal({ numRuns: 300 })

/** What `read` makes of it, or undefined when it is refused as it should be: with a status below 500. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isFault(error) && REASONS[error.reason].status < 500) return undefined
    throw error
  }
}

const CURSED = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '', '$patch', '/', '~']
const key = fc.oneof(fc.string(), fc.constantFrom(...CURSED, 'metadata', 'spec', 'a', 'b'))
const json = fc.letrec(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(fc.string({ unit: 'grapheme' }), fc.double(), fc.boolean(), fc.constant(null), fc.integer()),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map(entries => Object.fromEntries(entries)),
  ),
})).value
/** As text, which is the only way in: what JSON cannot say is not said. */
const jsonText = json.map(value => JSON.stringify(value))
const document = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'metadata', 'x/y', 'constructor'), json, { maxKeys: 5 })
  .map(value => JSON.parse(JSON.stringify(value)) as Record<string, unknown>)
/** Texts that nearly are something. */
const mangled = (text: fc.Arbitrary<string>, noise: string) =>
  fc
    .tuple(text, fc.nat(), fc.nat(4), fc.string({ unit: fc.constantFrom(...noise), maxLength: 4 }))
    .map(([whole, at, cut, more]) => {
      const start = at % (whole.length + 1)
      return whole.slice(0, start) + more + whole.slice(start + cut)
    })

const isProtoFree = (text: string) => !/__proto__|\\u/.test(text)
const clean = () => expect(Object.keys(Object.prototype)).toEqual([])

describe('bodies', () => {
  test('JSON: the same as JSON.parse, and refused exactly when that refuses', () => {
    const read = (text: string) => attempt(() => ({ is: parseJsonText(text).value }))
    const expected = (text: string) => {
      try {
        return { is: JSON.parse(text) as unknown }
      } catch {
        return undefined
      }
    }
    const texts = fc.oneof(jsonText, mangled(jsonText, '{}[]",:\\ \n0'), fc.string())
    fc.assert(
      fc.property(texts.filter(isProtoFree), text => {
        expect(read(text)).toEqual(expected(text))
      }),
    )
    clean()
  })

  test('JSON is YAML; other YAML is read or refused, and never twice as long as it looks', () => {
    fc.assert(
      fc.property(
        jsonText.filter(text => isProtoFree(text) && !/[\ud800-\udfff]/.test(text)),
        text => {
          const read = attempt(() => ({ is: parseYamlText(text).value }))
          // A long key needs a mark that JSON does not have.
          if (read !== undefined) expect(read.is).toEqual(JSON.parse(text))
        },
      ),
    )
    const lines = fc
      .array(
        fc.constantFrom(
          'a: 1',
          '- b',
          ' c: {d: [',
          ']}',
          '? x',
          ': y',
          '&a',
          '*a',
          '!!map',
          '---',
          '<<: ',
          '"',
          "'",
          '|',
          '\t',
          '#',
        ),
      )
      .map(parts => parts.join('\n'))
    fc.assert(
      fc.property(
        fc.oneof(lines, mangled(lines, ':-{}[]&*!|>\'"%@` \n\t'), fc.string({ unit: 'binary' })),
        text => {
          const read = attempt(() => parseYamlText(text))
          if (read !== undefined)
            expect(JSON.stringify(read.value ?? null).length).toBeLessThan(20 * text.length + 20)
        },
      ),
    )
  })

  test('doubled keys are found in JSON and in YAML alike, in linear time and bounded', () => {
    const doubled = Array.from({ length: 30_000 }, (_, n) => `"k${n % 15_000}": 1`).join(',\n')
    const long = 'x'.repeat(50_000)
    for (const [read, text] of [
      [parseJsonText, `{${doubled}}`],
      [parseJsonText, `{"${long}":{${doubled}}}`],
    ] as const) {
      const { duplicates } = read(text)
      expect(duplicates).toHaveLength(32)
      expect(duplicates.join('').length).toBeLessThan(32 * 256 + 1)
    }
    const some = Array.from({ length: 8_000 }, (_, n) => `k${n % 7_999}: 1`).join('\n')
    expect(parseYamlText(some).duplicates).toEqual(['k0'])
    expect(parseYamlText('a:\n- b: 1\n  b: 2\n').duplicates).toEqual(['a[0].b'])
  })

  test('any media type with any bytes', () => {
    const types = fc.constantFrom(
      undefined,
      'application/json',
      PROTOBUF,
      'application/json-patch+json',
      'constructor',
      'application/strategic-merge-patch+json;x=y',
    )
    const bytes = fc.oneof(
      fc.uint8Array(),
      jsonText.map(text => Buffer.from(text)),
    )
    fc.assert(
      fc.property(types, bytes, (type, body) => {
        attempt(() => parseObjectBody(type, Buffer.from(body)))
        attempt(() => parsePatchBody(type, Buffer.from(body), VIEW_PATCH_TYPES))
        attempt(() => parseAppliedBody(Buffer.from(body)))
      }),
    )
  })

  test('protobuf: any bytes, and messages with bytes that have changed', () => {
    const field = fc.tuple(fc.integer({ min: 1, max: 20 }), fc.string()).map(([n, text]) => string(n, text))
    const metadata = fc.array(field, { maxLength: 12 }).map(fields => join(...fields))
    const kinds = fc.constantFrom('Namespace', 'Event', 'DeleteOptions', 'SelfSubjectReview', 'constructor')
    const body = fc
      .tuple(kinds, metadata, fc.array(fc.string(), { maxLength: 3 }))
      .map(([kind, meta, list]) =>
        Buffer.from(
          join(
            Buffer.from('k8s\0', 'latin1'),
            message(1, join(string(1, 'v1'), string(2, kind))),
            message(2, join(message(1, meta), message(2, strings(1, list)))),
          ),
        ),
      )
    fc.assert(fc.property(body, bytes => void attempt(() => decodeObject(bytes))))
    fc.assert(
      fc.property(body, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }), (bytes, changes) => {
        const changed = Buffer.from(bytes)
        for (const [at, value] of changes) changed[4 + (at % (changed.length - 4))] = value
        attempt(() => decodeObject(changed))
      }),
    )
    clean()
  })

  test('metadata, delete options and managed fields from any JSON', () => {
    fc.assert(
      fc.property(json, value => {
        const problems = new Problems()
        problems.parse(metadataSchema, value, 'metadata')
        attempt(() => judgeFields(problems.unknown, [], 'Strict'))
        attempt(() => parseEntries(value))
        const none = new URLSearchParams()
        attempt(() => parseDeleteOptions(undefined, Buffer.from(JSON.stringify(value)), none))
      }),
    )
    clean()
  })
})

describe('headers and queries', () => {
  test('Accept', () => {
    const part = fc.constantFrom(
      'application/json',
      '*/*',
      ';',
      ',',
      'as=Table',
      'g=meta.k8s.io',
      'v=v1',
      'q=',
      '0.5',
      '=',
      ' ',
      '__proto__=1',
    )
    const headers = fc.oneof(
      fc.string(),
      fc.array(part).map(parts => parts.join('')),
      fc.array(part).map(parts => parts.join(';')),
    )
    fc.assert(
      fc.property(headers, accept => {
        const form = attempt(() => chooseForm(accept))?.form
        expect(['json', 'table', 'partial', undefined]).toContain(form)
        attempt(() => chooseOpenApiV2(accept))
        chooseDiscovery(accept)
        expect(parseAccept(accept).length).toBeLessThanOrEqual(32)
      }),
    )
  })

  test('every option of every request', () => {
    const names = [
      'limit',
      'timeoutSeconds',
      'resourceVersion',
      'resourceVersionMatch',
      'sendInitialEvents',
      'watch',
      'continue',
      'dryRun',
      'fieldManager',
      'fieldValidation',
      'includeObject',
      'force',
      'gracePeriodSeconds',
      'propagationPolicy',
      'orphanDependents',
    ]
    const values = [
      '',
      '0',
      '1',
      '-1',
      'true',
      'All',
      'Exact',
      'NotOlderThan',
      'Strict',
      '9223372036854775807',
      '99999999999999999999',
      'NaN',
      '\u0000',
      'Orphan',
    ]
    const pairs = fc.array(
      fc.tuple(fc.constantFrom(...names), fc.oneof(fc.constantFrom(...values), fc.string())),
      { maxLength: 6 },
    )
    fc.assert(
      fc.property(pairs, given => {
        const parameters = new URLSearchParams(given)
        attempt(() => checkListOptions(parameters))
        for (const name of names) {
          query.flag(parameters, name)
          const number = attempt(() => query.integer(parameters, name, 1000))
          if (number !== undefined) expect(number >= 0 && number <= 1000).toBe(true)
        }
        const revision = attempt(() => query.revision(parameters))
        if (revision !== undefined) expect(BigInt(revision) < 2n ** 63n).toBe(true)
        attempt(() => query.dryRun(parameters))
        attempt(() => query.fieldValidation(parameters))
        attempt(() => query.fieldManager(parameters, given[0]?.[1]))
        attempt(() => query.includeObject(parameters))
        attempt(() => parseDeleteOptions(undefined, undefined, parameters))
      }),
    )
  })

  // Nothing but `All` may pass for a rehearsal, and nothing that was meant as one may write.
  test.each(['', 'all', 'true', 'None', 'All,All'])('dryRun=%s is refused', value => {
    expect(() => query.dryRun(new URLSearchParams([['dryRun', value]]))).toThrow(/Unsupported value/)
    expect(() =>
      query.dryRun(
        new URLSearchParams([
          ['dryRun', 'All'],
          ['dryRun', value],
        ]),
      ),
    ).toThrow()
  })

  test('label selectors: what is written is what is read', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?$/)
    const keys = fc.oneof(
      name,
      name.map(each => `example.com/${each}`),
      fc.constantFrom('constructor', 'in', 'notin'),
    )
    const values = fc.array(fc.oneof(name, fc.constant('')), { minLength: 1, maxLength: 3 })
    const requirement = fc.record({
      key: keys,
      operator: fc.constantFrom<Requirement['operator']>('in', 'not-in', 'exists', 'absent'),
      values,
    })
    const written = ({ key, operator, values }: Requirement): string => {
      if (operator === 'exists') return key
      if (operator === 'absent') return `!${key}`
      return `${key} ${operator === 'in' ? 'in' : 'notin'} (${values.join(', ')})`
    }
    fc.assert(
      fc.property(fc.array(requirement, { maxLength: 5 }), requirements => {
        const expected = requirements.map(each =>
          each.operator === 'exists' || each.operator === 'absent' ? { ...each, values: [] } : each,
        )
        expect(parseLabelSelector(requirements.map(written).join(','))).toEqual(expected)
      }),
    )
    const noise = 'a=!<>,() \\/in.-_%\u0000'
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...noise), maxLength: 30 }), text => {
        attempt(() => parseLabelSelector(text))
        attempt(() => parseFieldSelector(text, new Map([['a', 'spec.a']])))
      }),
    )
  })

  // Expressions that backtrack more than in proportion to the text would not come back from any of these.
  test('long hostile texts are judged in time', () => {
    const size = 200_000
    for (const text of [
      'a',
      '-',
      'a.',
      'a-',
      '.',
      ' ',
      'a ',
      'a,',
      '(',
      'in (',
      '!',
      '=',
      '\\',
      '/',
      'a/',
      '<',
      '1',
    ].map(each => each.repeat(size)))
      for (const hostile of [text, `${text}!`, `a/${text}!`, `a in (${text}`, `a=${text}`]) {
        LABEL_KEY.test(hostile)
        LABEL_VALUE.test(hostile)
        nameSchema.safeParse(hostile)
        subdomainSchema.safeParse(hostile)
        findGitUrl(hostile)
        findImageReference(hostile)
        attempt(() => parseLabelSelector(hostile))
        attempt(() => parseLabelSelector(hostile.slice(0, 4096)))
        attempt(() => parseFieldSelector(hostile.slice(0, 4096), new Map([['a', 'a']])))
        attempt(() => query.fieldManager(new URLSearchParams({ fieldManager: hostile }), hostile))
        attempt(() => jsonPatch({}, [{ op: 'add', path: `/${hostile}`, value: 1 }]))
        chooseDiscovery(hostile)
        formatPath([hostile], 'spec')
      }
  })

  test('field selectors: any value, once it is escaped', () => {
    const selectable = new Map([['metadata.name', 'metadata.name']])
    fc.assert(
      fc.property(
        fc.string({ maxLength: 40 }).filter(value => value === value.trim()),
        value => {
          const escaped = value.replace(/[\\,=]/g, '\\$&')
          const read = attempt(() => parseFieldSelector(`metadata.name=${escaped}`, selectable))
          if (read !== undefined)
            expect(read).toEqual([{ key: 'metadata.name', operator: 'in', values: [value] }])
        },
      ),
    )
  })
})

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
