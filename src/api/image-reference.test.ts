import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findImageReference, parseImageReference } from './image-reference.ts'

const digest = `sha256:${'a'.repeat(64)}`

describe('image references', () => {
  test.each([
    'alpine',
    'alpine:3.22',
    'library/alpine',
    'registry.example.com/dev/base:1',
    'registry.example.com:5000/dev/base',
    'localhost:5000/x',
    '127.0.0.1:5000/x:y',
    `alpine@${digest}`,
    `registry.example.com/dev/base:1@${digest}`,
    'a/b__c/d-e/f.g',
  ])('%s is of a registry', text => {
    expect(parseImageReference(text)).toEqual({ kind: 'registry', reference: text })
  })

  test.each([
    ['bootstrap:bookworm', { kind: 'bootstrap', suite: 'bookworm' }],
    ['oci-archive:base.tar', { kind: 'archive', format: 'oci-archive', name: 'base.tar' }],
    ['oci:base', { kind: 'archive', format: 'oci', name: 'base' }],
  ])('%s', (text, expected) => {
    expect(findImageReference(text)).toEqual(expected)
  })

  test.each([
    '',
    'Alpine',
    ':1',
    '-x',
    '--help',
    'a:',
    'a@sha256:short',
    'a//b',
    'a b',
    'a\n',
    '/etc/passwd',
    '../x',
    'registry.example.com:0/x',
    'registry.example.com:65536/x',
    'docker://alpine',
    'dir:/etc',
    'oci-archive:../x.tar',
    'oci-archive:/etc/passwd',
    'oci-archive:.hidden',
    'oci-archive:',
    'oci:a:b',
    'bootstrap:Bookworm',
    'bootstrap:bookworm --hook',
    'bootstrap:-x',
    'bootstrap:',
    `a${'b'.repeat(512)}`,
  ])('%j is refused', text => {
    expect(findImageReference(text)).toBeUndefined()
    expect(() => parseImageReference(text)).toThrow(expect.objectContaining({ reason: 'invalid' }))
  })

  test('no text takes long, and nothing accepted is an option or leaves its folder', () => {
    const alphabet = fc.constantFrom(
      'a',
      'B',
      '0',
      '.',
      '_',
      '-',
      '/',
      ':',
      '@',
      '__',
      '--',
      'oci:',
      'sha256:',
    )
    fc.assert(
      fc.property(
        fc.array(alphabet, { maxLength: 300 }).map(parts => parts.join('')),
        text => {
          const found = findImageReference(text)
          if (found === undefined) return
          expect(text).not.toMatch(/^-|\s/)
          if (found.kind === 'archive') expect(found.name).not.toMatch(/^\.|\//)
        },
      ),
      { numRuns: 3000 },
    )
    for (const evil of ['a-', 'a.', 'a__', 'A', '-a', 'a/']) {
      const started = performance.now()
      findImageReference(`${evil.repeat(Math.floor(510 / evil.length))}!`)
      expect(performance.now() - started).toBeLessThan(200)
    }
  })
})
