// What a class says of the network of its environments: as written by people.
import { z } from 'zod'
import { DNS_SUBDOMAIN } from './dns-label.ts'

const IPV4 = /^(?:(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])(?:\.(?!$)|$)){4}$/

/** An IPv4 network; a lone address is a /32. */
export interface Network {
  readonly address: string
  readonly bits: number
}

/** `10.20.0.0/16` or `10.20.0.1`; undefined for anything else. */
export function parseNetwork(text: string): Network | undefined {
  const match = /^([0-9.]{7,15})(?:\/([0-9]|[12][0-9]|3[0-2]))?$/.exec(text)
  if (match === null || !IPV4.test(match[1]!)) return undefined
  return { address: match[1]!, bits: match[2] === undefined ? 32 : Number(match[2]) }
}

/** First and last address of a network, as numbers. */
export function boundsOf({ address, bits }: Network): readonly [number, number] {
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const size = 2 ** (32 - bits)
  const first = Math.floor(number / size) * size
  return [first, first + size - 1]
}

/** Have the two networks an address in common? */
export function overlaps(one: Network, other: Network): boolean {
  const [a, b] = [boundsOf(one), boundsOf(other)]
  return a[0] <= b[1] && b[0] <= a[1]
}

/** Is every address of `inner` one of `outer`? */
export function contains(outer: Network, inner: Network): boolean {
  const [a, b] = [boundsOf(outer), boundsOf(inner)]
  return a[0] <= b[0] && b[1] <= a[1]
}

const destinationSchema = z
  .string()
  .max(253, 'at most 253 characters')
  .superRefine((text, context) => {
    if (parseNetwork(text) !== undefined) return
    const refuse = (message: string) => context.addIssue({ code: 'custom', message })
    if (/^[0-9a-f.]*:[0-9a-f:./]*$/i.test(text))
      return refuse('environments have no IPv6 and reach nothing over it; name an IPv4 network')
    if (/^[0-9./]+$/.test(text)) return refuse('not an IPv4 network such as 10.20.0.0/16 or 192.0.2.1')
    if (text.includes('://')) return refuse('a host name without scheme or path, such as git.example.com')
    const name = text.startsWith('*.') ? text.slice(2) : text
    if (!DNS_SUBDOMAIN.test(name))
      return refuse('an IPv4 network (10.20.0.0/16), a name (git.example.com), or *.example.com')
    if (text.startsWith('*.') && !name.includes('.'))
      return refuse('a wildcard needs a domain of at least two labels, such as *.example.com')
  })

const listSchema = z.array(destinationSchema).max(256, 'at most 256 entries')

const RATE_UNITS: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9 }
// Below the least, one full packet would already be too much; above the most there is nothing to limit.
const [LEAST_RATE, MOST_RATE] = [64e3, 400e9]

const rateSchema = z
  .string()
  .regex(/^[1-9][0-9]{0,11}[kMG]?$/, 'bits a second such as 100M')
  .refine(text => {
    const rate = parseRate(text)
    return rate >= LEAST_RATE && rate <= MOST_RATE
  }, 'between 64k and 400G bits a second')

/** `100M` in bits a second; NaN for what `rateSchema` refuses. */
export function parseRate(text: string): number {
  const match = /^([1-9][0-9]*)([kMG]?)$/.exec(text)
  return match === null ? Number.NaN : Number(match[1]) * (RATE_UNITS[match[2] ?? ''] ?? 1)
}

export const networkSchema = z.strictObject({
  egress: z
    .strictObject({
      default: z
        .enum(['Allow', 'Deny'])
        .default('Allow')
        .describe('What becomes of public addresses that no list names.'),
      allow: listSchema
        .default([])
        .describe(
          'IPv4 networks and names (*.example.com: any below it) that are reached. Private networks only where the runner permits them.',
        ),
      deny: listSchema
        .default([])
        .describe('IPv4 networks and names that are not reached, whatever `allow` says.'),
    })
    .optional()
    .describe('Where connections may go. Default: all public addresses. Changes reach running environments.'),
  bandwidth: z
    .strictObject({
      egress: rateSchema.optional().describe('Most that leaves an environment, in bits a second.'),
      ingress: rateSchema.optional().describe('Most that comes to it, in bits a second.'),
    })
    .optional()
    .describe('Ceilings of each environment. Default: none.'),
  newConnectionsPerSecond: z
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe('Most connections that one environment begins in a second. Default: no limit.'),
  connections: z
    .int()
    .min(16)
    .max(16_384)
    .optional()
    .describe('Most connections that one environment has at a time. Default: 16384.'),
})

export type NetworkSpec = z.infer<typeof networkSchema>
