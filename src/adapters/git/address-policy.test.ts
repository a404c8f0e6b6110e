import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createAddressPolicy } from './address-policy.ts'
import { chooseAddress } from './choose-address.ts'

const own = () => ['93.184.216.1']
const strict = createAddressPolicy([], own)
const everything = createAddressPolicy(['0.0.0.0/0', '::/0', 'git.example.com'], own)
const named = createAddressPolicy(['git.example.com'], own)

describe('the address policy', () => {
  test.each([
    // address                    by default  host named  all nets named
    ['140.82.112.3', true, true, true],
    ['2606:50c0:8000::153', true, true, true],
    ['10.1.2.3', false, true, true],
    ['172.16.0.1', false, true, true],
    ['172.32.0.1', true, true, true],
    ['192.168.1.1', false, true, true],
    ['100.64.0.1', false, true, true],
    ['192.0.2.1', false, true, true],
    ['240.0.0.1', false, true, true],
    ['fd12::1', false, true, true],
    ['169.254.169.254', false, false, true],
    ['fd00:ec2::254', false, false, true],
    ['fe80::1', false, false, true],
    ['93.184.216.1', false, true, true],
    ['127.0.0.1', false, false, false],
    ['127.255.255.254', false, false, false],
    ['0.0.0.0', false, false, false],
    ['::', false, false, false],
    ['::1', false, false, false],
    ['224.0.0.1', false, false, false],
    ['255.255.255.255', false, true, true],
    ['ff02::1', false, false, false],
    ['::ffff:127.0.0.1', false, false, false],
    ['::ffff:7f00:1', false, false, false],
    ['::127.0.0.1', false, false, false],
    ['64:ff9b::7f00:1', false, false, false],
    ['2002:7f00:1::', false, false, false],
    ['::ffff:169.254.169.254', false, false, true],
    ['::ffff:10.0.0.1', false, true, true],
    ['2002:a9fe:a9fe::1', false, false, true],
    ['64:ff9b::8c52:7003', true, true, true],
    ['not an address', false, false, false],
  ])('%s', (address, byDefault, byName, byNet) => {
    const verdicts = [strict, named, everything].map(
      policy => policy.allows('git.example.com', address).allowed,
    )
    expect(verdicts).toEqual([byDefault, byName, byNet])
  })

  test('a name is compared as a whole and without case', () => {
    const allows = (host: string) => named.allows(host, '10.0.0.1').allowed
    expect(['git.example.com', 'GIT.example.COM'].map(allows)).toEqual([true, true])
    expect(['evilgit.example.com', 'git.example.com.evil.net', 'example.com'].map(allows)).toEqual([
      false,
      false,
      false,
    ])
  })

  test.each(['*', '10.0.0.0/33', 'fd00::/129', '10.0.0/8', 'https://git.example.com', ''])(
    "the setting '%s' is refused",
    entry => {
      expect(() => createAddressPolicy([entry])).toThrow(/neither a host name nor a net/)
    },
  )

  test('an IPv4 address is judged alike however IPv6 carries it', () => {
    fc.assert(
      fc.property(fc.ipV4(), address => {
        const bytes = address.split('.').map(Number) as [number, number, number, number]
        const words = [bytes[0] * 256 + bytes[1], bytes[2] * 256 + bytes[3]].map(word => word.toString(16))
        const plain = strict.allows('h', address).allowed
        for (const carried of [
          `::ffff:${address}`,
          `64:ff9b::${words.join(':')}`,
          `2002:${words.join(':')}::1`,
        ]) {
          expect(strict.allows('h', carried).allowed).toBe(plain)
        }
      }),
    )
  })

  test('the first allowed address is chosen, IPv4 before IPv6', () => {
    expect(chooseAddress('h', ['2606:50c0::1', '10.0.0.1', '140.82.112.3'], strict)).toBe('140.82.112.3')
    expect(chooseAddress('h', ['10.0.0.1', '2606:50c0::1'], strict)).toBe('2606:50c0::1')
  })

  test('a refusal says which addresses, why, and who can change it', () => {
    expect(() => chooseAddress('h', ['10.0.0.1', '::1'], strict)).toThrow(
      expect.objectContaining({
        reason: 'forbidden',
        code: 'git-host-forbidden',
        message: 'reach h: not allowed at 10.0.0.1 (private), ::1 (this host)',
        hint: expect.stringContaining('git.allow'),
      }),
    )
    expect(() => chooseAddress('h', ['::1'], strict)).toThrow(
      expect.objectContaining({ hint: expect.not.stringContaining('git.allow') }),
    )
  })
})
