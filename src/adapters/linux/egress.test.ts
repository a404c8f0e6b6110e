import { describe, expect, test } from 'vitest'
import type { NetworkPolicy } from '../../core/driver.ts'
import { checkPermitted, isNamed, matchesName, mayResolve, notPermitted } from './egress.ts'
import { parseLearned } from './network-policies.ts'
import { policyRules, withoutPolicy } from './policy-rules.ts'

const policy = (otherwise: 'Allow' | 'Deny', allow: string[] = [], deny: string[] = []): NetworkPolicy => ({
  egress: { otherwise, allow, deny },
})

test.each([
  ['git.example.com', 'git.example.com', true],
  ['git.example.com', 'x.git.example.com', false],
  ['*.example.com', 'git.example.com', true],
  ['*.example.com', 'a.b.example.com', true],
  ['*.example.com', 'example.com', false],
  ['*.example.com', 'notexample.com', false],
])('%s is about %s: %s', (pattern, name, expected) => {
  expect(matchesName([pattern], name)).toBe(expected)
})

test('where all is denied that is not allowed, nothing else is asked for', () => {
  expect(mayResolve(undefined, 'x.test')).toBe(true)
  expect(mayResolve(policy('Allow', [], ['x.test']), 'x.test')).toBe(false)
  expect(mayResolve(policy('Allow', [], ['x.test']), 'y.test')).toBe(true)
  expect(mayResolve(policy('Deny', ['*.test']), 'y.test')).toBe(true)
  expect(mayResolve(policy('Deny', ['*.test'], ['y.test']), 'y.test')).toBe(false)
  expect(mayResolve(policy('Deny', ['10.0.0.0/8']), 'y.test')).toBe(false)
})

test('names are answered by us alone where they decide', () => {
  expect(isNamed(undefined)).toBe(false)
  expect(isNamed({ connections: 100 })).toBe(false)
  expect(isNamed(policy('Allow', ['10.0.0.0/8']))).toBe(false)
  expect(isNamed(policy('Allow', ['a.test']))).toBe(true)
  expect(isNamed(policy('Deny'))).toBe(true)
})

describe('what an operator permits', () => {
  test.each(['10.20.0.0/16', '192.168.1.1', '100.64.0.0/10', '203.0.113.0/24'])('may be %s', text => {
    expect(() => checkPermitted([text])).not.toThrow()
  })

  test.each([
    '127.0.0.1',
    '169.254.169.254',
    '0.0.0.0/0',
    '198.18.0.0/15',
    '198.19.4.4',
    '224.0.0.1',
    'host.test',
    '::1',
  ])('is never %s', text => {
    expect(() => checkPermitted([text])).toThrow(
      expect.objectContaining({ reason: 'invalid', code: 'network-allow-invalid' }),
    )
  })

  test('is what a class gets of private networks, and the rest is told', () => {
    const wanted = policy('Deny', ['10.20.3.0/24', '10.0.0.0/8', '203.0.113.0/24', 'git.test', '0.0.0.0/0'])
    expect(notPermitted(wanted, ['10.20.0.0/16'])).toEqual(['10.0.0.0/8'])
    expect(notPermitted(undefined, [])).toEqual([])
  })
})

describe('rules', () => {
  const subject = { interfaceName: 'btyrabcde1', slot: 1 }
  const rules = (of: NetworkPolicy) => policyRules('inet bothy_rabcde', { ...subject, policy: of }, true)

  test('deny before they allow, and private networks need the operator', () => {
    const text = rules(policy('Allow', ['10.20.0.0/16'], ['203.0.113.0/24']))
    const order = [
      '@deny_1 reject',
      '@denied_1 reject',
      '!= @permitted drop',
      '@allow_1 accept',
      '@blocked drop',
    ]
    const places = order.map(each => text.indexOf(each))
    expect(places).toEqual([...places].sort((a, b) => a - b))
    expect(places).not.toContain(-1)
    expect(text).toContain('add rule inet bothy_rabcde out_1 accept\n')
    expect(rules(policy('Deny'))).not.toContain('out_1 accept\n')
  })

  test('of limits alone leave where connections go to the walls of all', () => {
    const text = rules({ egressBitsPerSecond: 8e6, newConnectionsPerSecond: 7, connections: 99 })
    expect(text).toContain('limit rate over 1000000 bytes/second')
    expect(text).toContain('limit rate over 7/second')
    expect(text).toContain('ct count over 99')
    expect(text).not.toMatch(/out_1 .*accept/)
    expect(text).not.toContain('ask_1 reject')
  })

  test('are taken out completely', () => {
    const made = [...rules(policy('Deny')).matchAll(/^create (chain|set) \S+ \S+ (\S+)/gm)].map(
      ([, , name]) => name,
    )
    const text = withoutPolicy('inet bothy_rabcde', subject)
    for (const name of made)
      expect(text).toMatch(new RegExp(`^delete (chain|set) inet bothy_rabcde ${name}$`, 'm'))
  })
})

test('what names led to is read from what nft lists', () => {
  const json = JSON.stringify({
    nftables: [
      { metainfo: {} },
      { set: { name: 'allowed_3', elem: [{ elem: { val: '203.0.113.7', timeout: 3600, expires: 3001 } }] } },
      { set: { name: 'denied_3' } },
      { set: { name: 'allow_3', elem: ['203.0.113.9'] } },
    ],
  })
  expect([...parseLearned(json)]).toEqual([
    ['allowed_3', [{ address: '203.0.113.7', seconds: 3001 }]],
    ['denied_3', []],
  ])
})
