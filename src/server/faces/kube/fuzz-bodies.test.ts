// Whatever comes as a body is read or refused: never is anything thrown but a fault that is the client's, and what is
// read means what it should. fast-check prints the seed of a failure.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attempt, clean, isProtoFree, json, jsonText, mangled } from '../../../../test/support/fuzz.ts'
import { parseEntries } from '../../../api/apply/parse-entries.ts'
import { parseAppliedBody, parseObjectBody, parsePatchBody, VIEW_PATCH_TYPES } from './body.ts'
import { parseDeleteOptions } from './delete-options.ts'
import { parseJsonText } from './json-text.ts'
import { metadataSchema } from './metadata.ts'
import { decodeObject, PROTOBUF } from './protobuf/envelope.ts'
import { join, message, string, strings } from './protobuf/writer.ts'
import { judgeFields, Problems } from './strict-parse.ts'
import { parseYamlText } from './yaml-text.ts'

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
