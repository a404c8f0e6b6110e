// Whatever comes in headers, queries and selectors is read or refused, and means what it should.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attempt } from '../../../../test/support/fuzz.ts'
import { findGitUrl } from '../../../api/git-url.ts'
import { findImageReference } from '../../../api/image-reference.ts'
import { nameSchema, subdomainSchema } from '../../../api/names.ts'
import { chooseDiscovery, chooseForm, chooseOpenApiV2, parseAccept } from './accept.ts'
import { parseDeleteOptions } from './delete-options.ts'
import { jsonPatch } from './json-patch.ts'
import { checkListOptions } from './list-options.ts'
import * as query from './query.ts'
import {
  LABEL_KEY,
  LABEL_VALUE,
  parseFieldSelector,
  parseLabelSelector,
  type Requirement,
} from './selectors.ts'
import { formatPath } from './strict-parse.ts'

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
    ).toThrow(/Unsupported value/)
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
