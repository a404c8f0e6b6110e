import { expect, test } from 'vitest'
import { parseDeleteOptions } from './delete-options.ts'

const read = (body: unknown, query = '') =>
  parseDeleteOptions(
    'application/json',
    body === undefined ? undefined : Buffer.from(JSON.stringify(body)),
    new URLSearchParams(query),
  )

test.each<[string, unknown, string, object, boolean]>([
  // what, body, query, removal, dry run
  ['nothing at all', undefined, '', {}, false],
  ['what kubectl sends', { propagationPolicy: 'Background' }, '', { propagation: 'Background' }, false],
  ['in the foreground', { propagationPolicy: 'Foreground' }, '', { propagation: 'Foreground' }, false],
  ['by query', undefined, 'propagationPolicy=Orphan', { propagation: 'Orphan' }, false],
  [
    'the body before the query',
    { propagationPolicy: 'Foreground' },
    'propagationPolicy=Orphan',
    { propagation: 'Foreground' },
    false,
  ],
  ['the old way, orphans', { orphanDependents: true }, '', { propagation: 'Orphan' }, false],
  ['the old way, none', undefined, 'orphanDependents=false', { propagation: 'Background' }, false],
  [
    'null for nothing',
    { propagationPolicy: null, orphanDependents: null, preconditions: null },
    '',
    {},
    false,
  ],
  ['a grace period of any length', { gracePeriodSeconds: 30 }, 'gracePeriodSeconds=0', {}, false],
  [
    'preconditions',
    { preconditions: { uid: 'u', resourceVersion: '7' } },
    '',
    { uid: 'u', resourceVersion: '7' },
    false,
  ],
  ['a trial, by body', { dryRun: ['All'] }, '', {}, true],
  ['a trial, by query', {}, 'dryRun=All', {}, true],
  ['a trial, beside a body that has none', { dryRun: [] }, 'dryRun=All', {}, true],
  [
    'what newer clients say',
    { kind: 'DeleteOptions', apiVersion: 'v1', ignoreStoreReadErrorWithClusterBreakingPotential: false },
    '',
    {},
    false,
  ],
])('%s', (_, body, query, removal, dryRun) => {
  expect(read(body, query)).toEqual({ removal, dryRun })
})

test.each<[string, unknown, string, 'malformed' | 'invalid', string]>([
  [
    'another policy',
    { propagationPolicy: 'Later' },
    '',
    'invalid',
    'supported values: "Foreground", "Background", "Orphan", "nil"',
  ],
  ['another policy, by query', undefined, 'propagationPolicy=Later', 'invalid', 'Unsupported value: "Later"'],
  ['both ways', { propagationPolicy: 'Orphan', orphanDependents: true }, '', 'invalid', 'cannot be both set'],
  ['another trial', { dryRun: ['Some'] }, '', 'invalid', 'dryRun: Unsupported value: ["Some"]'],
  ['another trial, by query', undefined, 'dryRun=Some', 'invalid', 'dryRun'],
  ['no number', undefined, 'gracePeriodSeconds=soon', 'malformed', 'gracePeriodSeconds'],
  ['half a second', { gracePeriodSeconds: 0.5 }, '', 'malformed', 'gracePeriodSeconds'],
  ['no truth', undefined, 'orphanDependents=maybe', 'malformed', 'orphanDependents'],
  ['another kind', { kind: 'Environment' }, '', 'malformed', 'kind'],
  ['a list', [], '', 'malformed', 'not a JSON object'],
])('refuses %s', (_, body, query, reason, said) => {
  expect(() => read(body, query)).toThrow(
    expect.objectContaining({ reason, message: expect.stringContaining(said) }),
  )
})
