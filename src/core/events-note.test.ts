import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NOTE_BYTES } from '../api/event-note.ts'
import { plainNote } from './events-note.ts'

test.each([
  ['plain words', 'clone: exit 128', 'clone: exit 128'],
  ['colours and a title', '\u001b[31mred\u001b[0m \u001b]0;owned\u0007end', 'red end'],
  ['lines, and a cursor that moves', 'one\r\ntwo\u001b[2Athree\u0000', 'one twothree'],
  ['text that turns around', 'file \u202egpj.exe', 'file gpj.exe'.replace('gpj', ' gpj').replace('  ', '  ')],
  ['half a character', 'a\ud800b', 'a\ufffdb'],
  [
    'a password in a web address',
    'get https://ada:pw@git.example.com/x',
    'get https://***@git.example.com/x',
  ],
  ['a token in a web address', 'https://ghp_0123456789abcdef@host/x', 'https://***@host/x'],
  ['the user of ssh stays', 'ssh://git@host/x', 'ssh://git@host/x'],
  ['its password does not', 'ssh://git:pw@host/x', 'ssh://git:***@host/x'],
  ['a header', 'Authorization: Bearer abc.def', 'Authorization: ***'],
  ['a JSON web token', `said eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln.`, 'said ***.'],
  ['an own token', `bothy_${'x'.repeat(43)} refused`, '*** refused'],
  ['a variable', 'NPM_TOKEN=abc123 npm install', 'NPM_TOKEN=*** npm install'],
  ['a key', '-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY----- x', '*** x'],
])('%s', (_what, input, expected) => {
  expect(plainNote(input)).toBe(expected)
})

test('a long note is cut between characters', () => {
  const cut = plainNote('é'.repeat(2_000))
  expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(NOTE_BYTES)
  expect(cut).toMatch(/^é{500,}…$/)
})

test('whatever comes in, one printable line of bounded length comes out, and it is final', () => {
  const pieces = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\u001b[1m', '\u001b]', '\u0007', '\ud83d', '🦦', 'token=', 'https://', '@', '\n'),
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 40 }), fc.integer({ min: 1, max: 400 }), (parts, times) => {
      const note = plainNote(parts.join('').repeat(times))
      expect(Buffer.byteLength(note)).toBeLessThanOrEqual(NOTE_BYTES)
      expect(note).not.toMatch(/\p{Cc}/u)
      expect(note.isWellFormed()).toBe(true)
    }),
  )
})
