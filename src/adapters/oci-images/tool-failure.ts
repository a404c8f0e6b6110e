import { Fault } from '../../lib/fault.ts'

type Explain = (message: string) => Fault

const noSpace: Explain = message => {
  const hint = 'free some space in the folder that holds the images'
  return new Fault('exhausted', 'image-no-space', message, { hint })
}
const notFound: Explain = message =>
  new Fault('not_found', 'image-not-found', message, { hint: 'check name and tag' })
const busy: Explain = message => {
  const hint = 'the registry limits requests; try again later'
  return new Fault('unavailable', 'registry-busy', message, { hint })
}
const forbidden: Explain = message => {
  const hint =
    "check the name; if the image is private, log in on the runner's host with 'skopeo login --authfile FILE REGISTRY', FILE being registries.authFile in its runner.yaml"
  return new Fault('forbidden', 'image-forbidden', message, { hint })
}
const untrusted: Explain = message => {
  const hint =
    "this host trusts no certificate of the registry; add its CA to the host, or list the registry as insecure in the runner's settings"
  return new Fault('unavailable', 'registry-untrusted', message, { hint })
}
const otherProcessor: Explain = message => {
  const hint = "the image has no variant for the runner's processor"
  return new Fault('invalid', 'image-architecture', message, { hint })
}
const corrupt: Explain = message => {
  const hint =
    'the registry, or something on the way to it, sends other bytes than the image has: push it again, or try again later'
  return new Fault('invalid', 'image-corrupt', message, { hint })
}
const malformed: Explain = message => {
  const hint = 'use an image for Linux in the OCI or Docker format'
  return new Fault('invalid', 'image-malformed', message, { hint })
}
const unreachable: Explain = message => {
  const hint =
    "check the name, the network and, for a registry without TLS, the runner's list of insecure ones"
  return new Fault('unavailable', 'registry-unreachable', message, { hint })
}
const interrupted: Explain = message => {
  const hint = 'the connection to the registry broke off; it is fetched again from the beginning'
  return new Fault('unavailable', 'registry-interrupted', message, { hint })
}

// skopeo and umoci exit with 1 whatever happened and have no structured output, so their words are looked at, here
// and nowhere else. Collected from skopeo 1.9 and umoci 0.4.7; what is not recognized is `unavailable`.
const TABLE: readonly (readonly [RegExp, Explain])[] = [
  [/no space left on device/, noSpace],
  [/manifest unknown|name unknown|repository name not known/, notFound],
  [/toomanyrequests/, busy],
  [/unauthorized|denied|authentication required|invalid username\/password/, forbidden],
  [/server gave HTTP response to HTTPS client|x509:|tls: /, untrusted],
  [
    /digest did not match|digest mismatch|diffid mismatch|does not match (?:expected|provided manifest digest)|size mismatch/i,
    corrupt,
  ],
  [/happened during read: .*(?:unexpected EOF|connection reset|closed)/, interrupted],
  [/no image found in (?:manifest list|image index)/, otherProcessor],
  [
    /unsupported (?:schema|manifest|MIME|image-specific|media ?type)|invalid character|choose an image|tag is not found|unpack layer|unpack entry|unknown (?:layer|media)/i,
    malformed,
  ],
]

// What an HTTP status of a registry means; others do not decide.
const STATUSES: ReadonlyMap<number | undefined, Explain> = new Map([
  [401, forbidden],
  [403, forbidden],
  [404, notFound],
  [429, busy],
])

/** `what` is what was attempted on what; `status` the registry's own answer when it was asked directly. */
export function explainToolFailure(what: string, stderr: string, status?: number): Fault {
  return explain(what, stderr, STATUSES.get(status), unreachable, status)
}

/** The same for a tool that reads what is here already: what is not recognized is wrong with the image. */
export function explainUnpackFailure(what: string, stderr: string): Fault {
  return explain(what, stderr, undefined, malformed)
}

function explain(
  what: string,
  stderr: string,
  known: Explain | undefined,
  otherwise: Explain,
  status?: number,
): Fault {
  const said = lastWords(stderr)
  if (/getting username and password/.test(said)) return unusableCredentials(what)
  const chosen = known ?? TABLE.find(([pattern]) => pattern.test(said))?.[1] ?? otherwise
  const answer = status === undefined ? '' : `: the registry answered ${status}`
  // A chain of wrapped network errors says at its end what happened; the rest only repeats the name.
  const words = /\bdial tcp\b/.test(said)
    ? `the registry cannot be reached: ${said.split(': ').at(-1)}`
    : said
  return chosen(`${what}${said === '' ? answer : `: ${words}`}`)
}

// The tool's own words name the file, and quote from it; who asks for an image need not be who operates the host.
function unusableCredentials(what: string): Fault {
  const hint =
    "write it anew: 'skopeo login --authfile FILE REGISTRY' on the runner's host, FILE being registries.authFile in its runner.yaml"
  const message = `${what}: the runner's file of registry credentials cannot be understood`
  return new Fault('forbidden', 'credentials-malformed', message, { hint })
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
