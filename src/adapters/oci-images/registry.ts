import { createHash } from 'node:crypto'
import { access as accessFile } from 'node:fs/promises'
import { Fault } from '../../lib/fault.ts'
import type { ProcessResult } from '../../lib/run-process.ts'
import { checkCredentials } from './credentials.ts'
import type { RegistryImage } from './registry-reference.ts'
import { runTool, usesProxy } from './tool.ts'
import { explainToolFailure } from './tool-failure.ts'

export interface RegistryAccess {
  readonly insecure: boolean
  readonly authFile: string | undefined
}

// One answer without content: a registry that is silent for so long is as good as gone.
const PATIENCE_MS = 10_000

const MANIFESTS = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

const DIGEST = /^sha256:[0-9a-f]{64}$/

/**
 * What a tag stands for now. The registry's API is asked first, for its answers are structured; where it wants a login
 * or cannot be asked directly, skopeo does. Faults: `not_found`, `forbidden`, `unavailable`.
 */
export async function resolveDigest(
  image: RegistryImage,
  access: RegistryAccess,
  signal: AbortSignal,
): Promise<string> {
  const what = `look up image ${image.text}`
  const answer = await askRegistry(image, access, signal)
  if (answer.status === 200 && answer.digest !== undefined) return answer.digest
  // 404 is final, and skopeo would spend half a minute on retries after a 429.
  if (answer.status === 404 || answer.status === 429) throw explainToolFailure(what, '', answer.status)
  const name = `docker://${image.registry}/${image.repository}:${image.tag}`
  const result = await inspect(await sourceOf(name, access), '/', signal)
  if (result.code !== 0) throw explainToolFailure(what, result.stderr, answer.status)
  return `sha256:${createHash('sha256').update(result.stdout).digest('hex')}`
}

/** Where skopeo finds an image: last arguments of its `inspect` and of its `copy`, before the destination. */
export interface Source {
  readonly inspect: readonly string[]
  readonly copy: readonly string[]
}

/** Names an image by its digest, so that what was looked up is what arrives. Faults as `checkCredentials` does. */
export function pullSource(image: RegistryImage, digest: string, access: RegistryAccess): Promise<Source> {
  return sourceOf(`docker://${image.registry}/${image.repository}@${digest}`, access)
}

async function sourceOf(name: string, { authFile, insecure }: RegistryAccess): Promise<Source> {
  if (authFile !== undefined) await checkCredentials(authFile)
  const flags = (prefix: string) => [
    // The file's name and never what is in it: others on the host see arguments.
    ...(authFile === undefined ? [`--${prefix}no-creds`] : [`--${prefix}authfile`, authFile]),
    ...(insecure ? [`--${prefix}tls-verify=false`] : []),
    '--',
    name,
  ]
  return { inspect: flags(''), copy: flags('src-') }
}

/** The manifest or index itself, on standard output. Names in `source` are resolved against `folder`. */
export async function inspect(
  source: Pick<Source, 'inspect'>,
  folder: string,
  signal: AbortSignal,
): Promise<ProcessResult> {
  const argv: [string, ...string[]] = ['skopeo', ...(await policy()), 'inspect', '--raw', ...source.inspect]
  return runTool(argv, { cwd: folder, signal })
}

const POLICY_FILE = '/etc/containers/policy.json'

/** The host's signature policy where there is one; a minimal installation has none, and skopeo would refuse to work. */
export async function policy(): Promise<string[]> {
  const found = await accessFile(POLICY_FILE).then(
    () => true,
    () => false,
  )
  return found ? ['--policy', POLICY_FILE] : ['--insecure-policy']
}

interface Answer {
  readonly status?: number
  readonly digest?: string
}

async function askRegistry(
  image: RegistryImage,
  access: RegistryAccess,
  signal: AbortSignal,
): Promise<Answer> {
  // Docker Hub always wants its token first; through a proxy only skopeo knows the way.
  if (image.registry === 'docker.io' || usesProxy()) return {}
  const base = `${access.insecure ? 'http' : 'https'}://${image.registry}`
  if (!URL.canParse(base)) {
    const hint = 'write HOST[:PORT]/NAME[:TAG]'
    throw new Fault('invalid', 'registry-invalid', `'${image.registry}' is not a registry`, { hint })
  }
  try {
    const response = await fetch(`${base}/v2/${image.repository}/manifests/${image.tag}`, {
      method: 'HEAD',
      headers: { accept: MANIFESTS },
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
    })
    const digest = response.headers.get('docker-content-digest') ?? ''
    return { status: response.status, ...(DIGEST.test(digest) ? { digest } : {}) }
  } catch {
    signal.throwIfAborted()
    // Refused, unresolvable, a certificate that only skopeo's libraries trust: skopeo finds out and says which.
    return {}
  }
}
