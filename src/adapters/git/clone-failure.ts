import { Fault } from '../../lib/fault.ts'
import { EXITS } from './clone-script.ts'

type Explain = (message: string) => Fault

const programMissing: Explain = message => {
  const hint = "install the packages 'git' and 'openssh-client' on the runner's host"
  return new Fault('unsupported', 'clone-program-missing', message, { hint })
}
const diskFull: Explain = message => {
  const hint = 'choose a class with a larger disk, or clone with a smaller depth'
  return new Fault('exhausted', 'disk-full', message, { hint })
}
const refNotFound: Explain = message => {
  const hint = 'check the name of the branch or tag; a commit needs its full id'
  return new Fault('not_found', 'ref-not-found', message, { hint })
}
const directoryTaken: Explain = message => {
  const hint = 'the folder is there already and is no git repository; choose another directory'
  return new Fault('invalid', 'directory-taken', message, { hint })
}
const hostKey: Explain = message => {
  const hint = "add the host's key to the runner's file of known hosts"
  return new Fault('forbidden', 'repository-host-key', message, { hint })
}
const isPrivate: Explain = message => {
  const hint =
    'the repository needs credentials: give the runner an SSH key that may read it, or use a public URL'
  return new Fault('forbidden', 'repository-private', message, { hint })
}
const notFound: Explain = message => {
  const hint = 'check the URL; hosts also say this about repositories that the runner may not see'
  return new Fault('not_found', 'repository-not-found', message, { hint })
}
const untrusted: Explain = message => {
  const hint = "the host's certificate is not trusted by the runner's host; add its CA there"
  return new Fault('unavailable', 'repository-untrusted', message, { hint })
}
const moved: Explain = message => {
  const hint = 'use the URL that the repository has moved to'
  return new Fault('invalid', 'repository-moved', message, { hint })
}
const unreachable: Explain = message => {
  const hint = "check the URL and whether the runner's host reaches it"
  return new Fault('unavailable', 'repository-unreachable', message, { hint })
}
const failed: Explain = message => {
  const hint = "see the environment's log for what git said"
  return new Fault('internal', 'clone-failed', message, { hint })
}

// git's exit code is 128 for all of these, so its words are looked at, here and nowhere else, with LC_ALL=C. Collected
// from git 2.39 with curl 7.88 and OpenSSH 9.2. The first that fits decides.
const TABLE: readonly (readonly [RegExp, Explain])[] = [
  [/\b(?:git|ssh): not found|cannot run ssh/, programMissing],
  [/No space left on device|Disk quota exceeded/i, diskFull],
  [/Remote branch .* not found in upstream|couldn't find remote ref/, refNotFound],
  [/Host key verification failed/, hostKey],
  [
    /Authentication failed|could not read (?:Username|Password)|Permission denied \(|returned error: 40[13]/,
    isPrivate,
  ],
  [
    /repository '.*' not found|does not appear to be a git repository|repository not exported|returned error: 404|[Rr]epository not found/,
    notFound,
  ],
  [/server certificate verification failed|SSL certificate problem/, untrusted],
  [/unable to update url base from redirection|transport '.*' not allowed/, moved],
  [
    /Could not resolve host|Failed to connect|Connection (?:refused|timed out|reset|closed)|unable to (?:access|connect)|Operation (?:timed out|too slow)|Network is unreachable|No route to host|returned error: (?:429|5\d\d)|early EOF|hung up unexpectedly|Name or service not known|Temporary failure in name resolution|kex_exchange/,
    unreachable,
  ],
]

// What the script found out by itself.
const OWN_EXITS: ReadonlyMap<number, readonly [Explain, string]> = new Map([
  [EXITS.noSpace, [diskFull, "the environment's disk is full"]],
  [EXITS.noSuchRef, [refNotFound, 'no such branch, tag or commit']],
  [EXITS.directoryTaken, [directoryTaken, 'its folder is taken by something else']],
] as const)

/** Explains why a clone of `source` (a URL, or words for a bundle) ended with `code`. */
export function explainCloneFailure(
  source: string,
  ref: string | undefined,
  code: number,
  stderr: string,
): Fault {
  const what = ref === undefined ? `clone ${source}` : `clone ${source} at ${ref}`
  const own = OWN_EXITS.get(code)
  if (own !== undefined) return own[0](`${what}: ${own[1]}`)
  const explain = TABLE.find(([pattern]) => pattern.test(stderr))?.[1] ?? failed
  return explain(`${what}: ${tellingLine(stderr) || `git ended with ${code}`}`)
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
