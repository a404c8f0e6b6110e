// What an event may say. Its words come from git hosts, registries and sandboxes, and end on the terminals of people: so
// nothing of them may move a cursor, show a secret that an error message happened to repeat, or be without end.
import { cutNote } from '../api/event-note.ts'

/** As much of the input is looked at: patterns over it stay cheap whatever a sandbox prints. */
const MAX_INPUT = 16 * 1024

const ESCAPE = String.raw`\u001b`
const COLOUR = new RegExp(String.raw`(?:${ESCAPE}\[|\u009b)[0-?]*[ -/]*[@-~]`, 'g')
const TITLE = new RegExp(String.raw`${ESCAPE}[\]P^_X][^\u0007${ESCAPE}]*(?:\u0007|${ESCAPE}\\)?`, 'g')
// Line ends, other control characters, and those that turn the direction of text.
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+/gu

const HIDDEN = '***'
const SECRETS: readonly (readonly [RegExp, string])[] = [
  // Whatever stands before the host of a web address; elsewhere the name may stay, it is `git` in most cases.
  [/\b(https?:\/\/)[^\s/]*@/gi, `$1${HIDDEN}@`],
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/[^\s/:@]*):[^\s/]*@/gi, `$1:${HIDDEN}@`],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, HIDDEN],
  [/\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?/g, HIDDEN],
  [/\bbothy(?:_|-enroll\.)[\w-]{16,}/g, HIDDEN],
  [/\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|AKIA)[\w-]{12,}/g, HIDDEN],
  [/\b((?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?:(?:bearer|basic|token)\s+)?[^\s"']+/gi, `$1${HIDDEN}`],
  [/\b(bearer\s+)[\w.~+/=-]{16,}/gi, `$1${HIDDEN}`],
  [
    /(pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key)(["']?\s*[:=]\s*["']?)[^\s"'&,;]+/gi,
    `$1$2${HIDDEN}`,
  ],
]

/** One printable line of at most `NOTE_BYTES`, cut between characters, with what looks like a secret hidden. */
export function plainNote(text: string): string {
  const printable = text
    .slice(0, MAX_INPUT)
    .toWellFormed()
    .replace(TITLE, '')
    .replace(COLOUR, '')
    .replace(UNPRINTABLE, ' ')
  const shown = SECRETS.reduce((said, [pattern, instead]) => said.replace(pattern, instead), printable)
  return cutNote(shown.trim())
}
