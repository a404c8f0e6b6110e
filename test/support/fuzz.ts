// For tests that try what nobody thought of: texts and values that nearly are something, and what to do with them.
import fc from 'fast-check'
import { expect } from 'vitest'
import { isFault, REASONS } from '../../src/lib/fault.ts'

fc.configureGlobal({ numRuns: 300 })

/** What `read` makes of it, or undefined when it is refused as it should be: with a status below 500. */
export function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isFault(error) && REASONS[error.reason].status < 500) return undefined
    throw error
  }
}

const CURSED = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '', '$patch', '/', '~']
const key = fc.oneof(fc.string(), fc.constantFrom(...CURSED, 'metadata', 'spec', 'a', 'b'))
/** Any value, with keys that have misled others. */
export const json = fc.letrec(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(fc.string({ unit: 'grapheme' }), fc.double(), fc.boolean(), fc.constant(null), fc.integer()),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map(entries => Object.fromEntries(entries)),
  ),
})).value
/** As text, which is the only way in: what JSON cannot say is not said. */
export const jsonText = json.map(value => JSON.stringify(value))
/** An object with members that patches may meet. */
export const document = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'metadata', 'x/y', 'constructor'), json, { maxKeys: 5 })
  .map(value => JSON.parse(JSON.stringify(value)) as Record<string, unknown>)
/** Texts that nearly are something. */
export const mangled = (text: fc.Arbitrary<string>, noise: string) =>
  fc
    .tuple(text, fc.nat(), fc.nat(4), fc.string({ unit: fc.constantFrom(...noise), maxLength: 4 }))
    .map(([whole, at, cut, more]) => {
      const start = at % (whole.length + 1)
      return whole.slice(0, start) + more + whole.slice(start + cut)
    })

/** That key is refused at the border. */
export const isProtoFree = (text: string) => !/__proto__|\\u/.test(text)
/** Nothing has found its way to where every object would have it. */
export const clean = () => expect(Object.keys(Object.prototype)).toEqual([])
