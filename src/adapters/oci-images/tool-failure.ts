import { Fault, type Reason } from '../../lib/fault.ts'

interface Recognized {
  readonly reason: Reason
  readonly code: string
  readonly hint: string
}

const REACH =
  "check the name, the network and, for a registry without TLS, the runner's list of insecure ones"
const NO_SPACE = 'free some space in the folder that holds the images'
const CREDENTIALS = 'check the name; if the image is private, give the runner a file of registry credentials'
const NOT_AN_IMAGE = 'use an image for Linux in the OCI or Docker format'

// skopeo and umoci exit with 1 whatever happened and have no structured output, so their words are looked at, here
// and nowhere else. Collected from skopeo 1.9 and umoci 0.4.7; what is not recognized is `unavailable`.
const TABLE: readonly (readonly [RegExp, Recognized])[] = [
  [/no space left on device/, { reason: 'exhausted', code: 'image-no-space', hint: NO_SPACE }],
  [
    /manifest unknown|name unknown|repository name not known/,
    { reason: 'not_found', code: 'image-not-found', hint: 'check name and tag' },
  ],
  [
    /toomanyrequests/,
    { reason: 'unavailable', code: 'registry-busy', hint: 'the registry limits requests; try again later' },
  ],
  [
    /unauthorized|denied|authentication required|invalid username\/password/,
    { reason: 'forbidden', code: 'image-forbidden', hint: CREDENTIALS },
  ],
  [
    /server gave HTTP response to HTTPS client|x509:|tls: /,
    {
      reason: 'unavailable',
      code: 'registry-untrusted',
      hint: "the registry has no certificate that this host trusts; add its CA to the host, or list the registry as insecure in the runner's settings",
    },
  ],
  [
    /no image found in (?:manifest list|image index)/,
    {
      reason: 'invalid',
      code: 'image-architecture',
      hint: "the image has no variant for the runner's processor",
    },
  ],
  [
    /unsupported (?:schema|manifest|MIME|image-specific|media ?type)|digest did not match|invalid character|choose an image|tag is not found|unpack layer|unpack entry|unknown (?:layer|media)/i,
    { reason: 'invalid', code: 'image-malformed', hint: NOT_AN_IMAGE },
  ],
]

const UNREACHABLE: Recognized = { reason: 'unavailable', code: 'registry-unreachable', hint: REACH }

/** What an HTTP status of a registry means; undefined when it does not decide. */
function recognizeStatus(status: number | undefined): Recognized | undefined {
  if (status === 404) return { reason: 'not_found', code: 'image-not-found', hint: 'check name and tag' }
  if (status === 401 || status === 403)
    return { reason: 'forbidden', code: 'image-forbidden', hint: CREDENTIALS }
  if (status === 429) {
    return {
      reason: 'unavailable',
      code: 'registry-busy',
      hint: 'the registry limits requests; try again later',
    }
  }
  return undefined
}

/** `what` is what was attempted on what; `status` the registry's own answer when it was asked directly. */
export function explainToolFailure(what: string, stderr: string, status?: number): Fault {
  const said = lastWords(stderr)
  const recognized =
    recognizeStatus(status) ?? TABLE.find(([pattern]) => pattern.test(said))?.[1] ?? UNREACHABLE
  const detail = said === '' ? (status === undefined ? '' : `: the registry answered ${status}`) : `: ${said}`
  return new Fault(recognized.reason, recognized.code, `${what}${detail}`, { hint: recognized.hint })
}

/** The last thing that a tool printed, without the wrapping that its logger gives it. */
export function lastWords(stderr: string): string {
  const line =
    stderr
      .split('\n')
      .filter(text => text.trim() !== '')
      .at(-1) ?? ''
  const message = /\bmsg=("(?:[^"\\]|\\.)*")/.exec(line)?.[1]
  // skopeo's logger quotes as JSON does; a line that only looks like it is shown as it is.
  const plain = message === undefined ? line.replace(/^\s*⨯\s*/u, '') : unquote(message)
  return plain
    .replace(/[\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, 400)
}

function unquote(text: string): string {
  try {
    return String(JSON.parse(text))
  } catch {
    // Go quotes a few characters in ways that JSON does not know.
    return text.slice(1, -1)
  }
}
