import { Fault, type Reason } from '../../lib/fault.ts'
import { EXITS } from './clone-script.ts'

type Words = readonly [pattern: RegExp, reason: Reason, code: string, hint: string]

const HINTS = {
  program: "install the packages 'git' and 'openssh-client' on the runner's host",
  space: 'choose a class with a larger disk, or clone with a smaller depth',
  ref: 'check the name of the branch or tag; a commit needs its full id',
  private:
    'the repository needs credentials: give the runner an SSH key that may read it, or use a public URL',
  missing: 'check the URL; hosts also say this about repositories that the runner may not see',
  reach: "check the URL and whether the runner's host reaches it",
  hostKey: "add the host's key to the runner's file of known hosts",
  tls: "the host's certificate is not trusted by the runner's host; add its CA there",
  redirect: 'use the URL that the repository has moved to',
  rest: "see the environment's log for what git said",
  taken: 'the folder is there already and is no git repository; choose another directory',
}

// git's exit code is 128 for all of these, so its words are looked at, here and nowhere else, with LC_ALL=C. Collected
// from git 2.39 with curl 7.88 and OpenSSH 9.2. The first that fits decides.
const TABLE: readonly Words[] = [
  [/\b(?:git|ssh): not found|cannot run ssh/, 'unsupported', 'clone-program-missing', HINTS.program],
  [/No space left on device|Disk quota exceeded/i, 'exhausted', 'disk-full', HINTS.space],
  [
    /Remote branch .* not found in upstream|couldn't find remote ref/,
    'not_found',
    'ref-not-found',
    HINTS.ref,
  ],
  [/Host key verification failed/, 'forbidden', 'repository-host-key', HINTS.hostKey],
  [
    /Authentication failed|could not read (?:Username|Password)|Permission denied \(|returned error: 40[13]/,
    'forbidden',
    'repository-private',
    HINTS.private,
  ],
  [
    /repository '.*' not found|does not appear to be a git repository|repository not exported|returned error: 404|[Rr]epository not found/,
    'not_found',
    'repository-not-found',
    HINTS.missing,
  ],
  [
    /server certificate verification failed|SSL certificate problem/,
    'unavailable',
    'repository-untrusted',
    HINTS.tls,
  ],
  [
    /unable to update url base from redirection|transport '.*' not allowed/,
    'invalid',
    'repository-moved',
    HINTS.redirect,
  ],
  [
    /Could not resolve host|Failed to connect|Connection (?:refused|timed out|reset|closed)|unable to (?:access|connect)|Operation (?:timed out|too slow)|Network is unreachable|No route to host|returned error: (?:429|5\d\d)|early EOF|hung up unexpectedly|Name or service not known|Temporary failure in name resolution|kex_exchange/,
    'unavailable',
    'repository-unreachable',
    HINTS.reach,
  ],
]

/** Explains why a clone of `source` (a URL, or words for a bundle) ended with `code`. */
export function explainCloneFailure(
  source: string,
  ref: string | undefined,
  code: number,
  stderr: string,
): Fault {
  const what = ref === undefined ? `clone ${source}` : `clone ${source} at ${ref}`
  const said = tellingLine(stderr)
  const fault = (reason: Reason, name: string, words: string, hint: string) =>
    new Fault(reason, name, `${what}: ${words}`, { hint })
  if (code === EXITS.noSpace)
    return fault('exhausted', 'disk-full', "the environment's disk is full", HINTS.space)
  if (code === EXITS.noSuchRef)
    return fault('not_found', 'ref-not-found', 'no such branch, tag or commit', HINTS.ref)
  if (code === EXITS.directoryTaken) {
    return fault('invalid', 'directory-taken', 'its folder is taken by something else', HINTS.taken)
  }
  const words = TABLE.find(([pattern]) => pattern.test(stderr))
  if (words === undefined)
    return fault('internal', 'clone-failed', said || `git ended with ${code}`, HINTS.rest)
  return fault(words[1], words[2], said, words[3])
}

/** The line that says most: git's last `fatal:` or `ERROR:`, else what stands last. */
function tellingLine(stderr: string): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .map(line => line.replace(/\p{Cc}+/gu, ' ').trim())
    .filter(line => line !== '')
  const fatal = lines.filter(line =>
    /^(?:fatal|error|ERROR|ssh|remote): |Permission denied|verification failed/.test(line),
  )
  // 'Please make sure you have the correct access rights' follows the line that says why.
  const telling = fatal.filter(line => !/Could not read from remote|hung up unexpectedly/.test(line))
  return (telling.at(-1) ?? fatal.at(-1) ?? lines.at(-1) ?? '')
    .replace(/^(?:fatal|error): /, '')
    .slice(0, 400)
}
