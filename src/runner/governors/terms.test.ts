import { expect, test } from 'vitest'
import { environmentSpecSchema } from '../../api/kinds/environment.ts'
import { environmentClassSpecSchema } from '../../api/kinds/environment-class.ts'
import type { Resource } from '../../api/resource.ts'
import { termsOf } from './terms.ts'

const metadata = (uid: string, name: string) => ({
  ...{ uid, name, namespace: 'default', generation: 1, resourceVersion: '1' },
  creationTimestamp: '2030-01-01T00:00:00Z',
})

function environment(uid: string, className: string): Resource<'Environment'> {
  const spec = environmentSpecSchema.parse({ content: { empty: {} }, class: className })
  return { kind: 'Environment', metadata: metadata(uid, `name-${uid}`), spec } as Resource<'Environment'>
}

function classOf(name: string, spec: object): Resource<'EnvironmentClass'> {
  const parsed = environmentClassSpecSchema.parse({ image: 'oci:tiny', ...spec })
  return {
    ...{ apiVersion: 'bothy.dev/v1alpha1', kind: 'EnvironmentClass', status: {} },
    ...{ metadata: metadata(name, name), spec: parsed },
  }
}

test('terms are what classes say, and who was seen, by the clock of the samples', () => {
  const terms = termsOf({
    environments: [environment('a', 'large'), environment('b', 'plain'), environment('c', 'gone')],
    classes: [
      classOf('large', { cpu: { weight: 200, ceiling: '1500m' }, memory: '8Gi', memoryGuarantee: '1Gi' }),
      classOf('plain', { suspendAfter: '0' }),
    ],
    seen: id => ({
      ...{ heardMs: id === 'a' ? 50 : undefined, typedMs: id === 'a' ? 40 : undefined },
      connections: id === 'a' ? 2 : 0,
      terminals: 0,
    }),
    offsetMs: 1000,
  })
  expect(terms.get('a')).toMatchObject({
    ...{ id: 'a', name: 'name-a', cpuWeight: 200, cores: 1.5 },
    ...{ memoryBytes: 8 * 2 ** 30, guaranteedBytes: 2 ** 30, suspendAfterMs: 600_000 },
    ...{ heardMs: 1050, typedMs: 1040, connections: 2, terminals: 0 },
  })
  const plain = terms.get('b')
  expect(plain).toMatchObject({ cpuWeight: 100, connections: 0, guaranteedBytes: 2 ** 30 })
  expect(Object.keys(plain ?? {})).not.toContain('cores')
  expect(Object.keys(plain ?? {})).not.toContain('suspendAfterMs')
  // Nobody is held, or put to sleep, by a class that is not known.
  expect(terms.get('c')).toMatchObject({ cpuWeight: 100 })
  expect(Object.keys(terms.get('c') ?? {})).not.toContain('suspendAfterMs')
})
