import { describe, expect, test } from 'vitest'
import { environmentClassSpecSchema } from './kinds/environment-class.ts'
import { contains, networkSchema, overlaps, parseNetwork, parseRate } from './network-policy.ts'

const network = (text: string) => parseNetwork(text)!

test('a network is an address with as many bits as it says', () => {
  expect(parseNetwork('10.20.0.0/16')).toEqual({ address: '10.20.0.0', bits: 16 })
  expect(parseNetwork('192.0.2.1')).toEqual({ address: '192.0.2.1', bits: 32 })
  for (const text of [
    '10.20.0.0/33',
    '10.20.0',
    '010.1.1.1',
    '256.1.1.1',
    '1.2.3.4.',
    '::1',
    'x',
    '1.2.3.4/',
  ])
    expect(parseNetwork(text), text).toBeUndefined()
})

test.each([
  ['10.0.0.0/8', '10.1.0.0/16', true, true],
  ['10.1.0.0/16', '10.0.0.0/8', true, false],
  ['10.0.0.0/8', '11.0.0.0/8', false, false],
  ['0.0.0.0/0', '255.255.255.255', true, true],
  ['10.0.0.77/24', '10.0.0.1', true, true],
])('%s and %s: in common %s, all of it %s', (one, other, common, all) => {
  expect(overlaps(network(one), network(other))).toBe(common)
  expect(contains(network(one), network(other))).toBe(all)
})

describe('what a class says of the network', () => {
  const messages = (value: unknown) =>
    (networkSchema.safeParse(value).error?.issues ?? []).map(
      ({ path, message }) => `${path.join('.')}: ${message}`,
    )

  test.each([['10.20.0.0/16'], ['192.0.2.1'], ['git.example.com'], ['*.example.com'], ['localhost']])(
    '%s is a destination',
    text => {
      expect(messages({ egress: { allow: [text] } })).toEqual([])
    },
  )

  test.each([
    ['2001:db8::/32', /no IPv6/],
    ['10.20.0.0/40', /IPv4 network such as/],
    ['https://git.example.com', /without scheme/],
    ['git.example.com:443', /an IPv4 network \(10/],
    ['*.com', /two labels/],
    ['a.*.example.com', /an IPv4 network \(10/],
    ['Git.Example.com', /an IPv4 network \(10/],
    ['a b', /an IPv4 network \(10/],
    ['x } ; flush ruleset', /an IPv4 network \(10/],
  ])('%s is none, and it is said why', (text, why) => {
    const said = messages({ egress: { deny: [text] } })
    expect(said).toHaveLength(1)
    expect(said[0]).toMatch(why)
    expect(said[0]).toMatch(/^egress\.deny\.0: /)
  })

  test('rates are bits a second, within reason', () => {
    expect(parseRate('100M')).toBe(100e6)
    expect(messages({ bandwidth: { egress: '64k', ingress: '400G' } })).toEqual([])
    expect(messages({ bandwidth: { egress: '10' } })[0]).toMatch(/between 64k and 400G/)
    expect(messages({ bandwidth: { egress: '100Mbit' } })[0]).toMatch(/bits a second such as 100M/)
    expect(messages({ newConnectionsPerSecond: 0 })).toHaveLength(1)
    expect(messages({ connections: 1 })).toHaveLength(1)
    expect(messages({ egress: { default: 'Maybe' } })).toHaveLength(1)
  })
})

test('devices are full CDI names, each once', () => {
  const messages = (devices: unknown) =>
    (environmentClassSpecSchema.safeParse({ image: 'debian:12', devices }).error?.issues ?? []).map(
      each => each.message,
    )
  expect(messages(['nvidia.com/gpu=all', 'vendor.com/net-class=nic:0.1'])).toEqual([])
  for (const name of [
    'gpu',
    'nvidia.com/gpu',
    'nvidia.com/gpu=',
    '/gpu=0',
    'nvidia.com/gpu=a b',
    'nvidia.com/../x=0',
  ])
    expect(messages([name]), name).toEqual(['the full name of a CDI device such as nvidia.com/gpu=all'])
  expect(messages(['a.test/b=0', 'a.test/b=0'])).toEqual(['each device once'])
})
