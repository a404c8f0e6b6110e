import { expect, test } from 'vitest'
import { networkSchema } from '../../api/network-policy.ts'
import { networkPolicy } from './network.ts'

const policyOf = (network: unknown) => networkPolicy({ network: networkSchema.parse(network) })

test('a class that limits nothing has no policy, in whatever words', () => {
  expect(networkPolicy({})).toBeUndefined()
  expect(policyOf({})).toBeUndefined()
  expect(policyOf({ egress: {}, bandwidth: {} })).toBeUndefined()
})

test('one that limits something has that, in plain numbers', () => {
  expect(policyOf({ egress: { default: 'Deny' } })).toEqual({
    egress: { otherwise: 'Deny', allow: [], deny: [] },
  })
  expect(policyOf({ egress: { deny: ['x.test'] }, bandwidth: { ingress: '10M' }, connections: 64 })).toEqual({
    egress: { otherwise: 'Allow', allow: [], deny: ['x.test'] },
    ingressBitsPerSecond: 10e6,
    connections: 64,
  })
})
