import { Fault } from '../../lib/fault.ts'
import { getContext } from '../config/contexts.ts'
import { loadConfig } from '../config/file.ts'
import { configPath } from '../config/paths.ts'
import type { Deps } from '../deps.ts'

const GROUP = 'client.authentication.k8s.io'
// The first is for those who do not say.
const VERSIONS = [`${GROUP}/v1beta1`, `${GROUP}/v1`]

/**
 * Prints the token of a context, or of the current one. It expires when it is taken back, of which kubectl hears from
 * the server, so no time is told.
 */
export async function runCredential(deps: Deps, name: string | undefined): Promise<void> {
  const apiVersion = askedVersion(deps.env.KUBERNETES_EXEC_INFO)
  const path = configPath(deps.env)
  const config = await loadConfig(path, message => void deps.stderr.write(`bothy: ${message}\n`))
  const wanted = name ?? config.current
  if (wanted === undefined) {
    throw new Fault('not_found', 'context-none', `read a token from ${path}: no context is in use`, {
      hint: 'name one: --context NAME',
    })
  }
  const { token } = getContext(config, wanted)
  deps.stdout.write(`${JSON.stringify({ apiVersion, kind: 'ExecCredential', status: { token } })}\n`)
}

/** Faults with `malformed` or `unsupported`. */
function askedVersion(info: string | undefined): string {
  if (info === undefined || info === '') return VERSIONS[0]!
  const version = apiVersionIn(info)
  if (VERSIONS.includes(version)) return version
  throw new Fault('unsupported', 'exec-version', `give kubectl a token: it asks for ${version}`, {
    hint: `known are ${VERSIONS.join(' and ')}; write the kubeconfig again: bothy kubeconfig --write`,
  })
}

function apiVersionIn(info: string): string {
  try {
    const { apiVersion } = JSON.parse(info) as { apiVersion?: unknown }
    if (typeof apiVersion === 'string') return apiVersion
  } catch {
    // Said below, together with JSON that is something else.
  }
  throw new Fault('malformed', 'exec-info', 'read KUBERNETES_EXEC_INFO: it is no ExecCredential in JSON', {
    hint: 'kubectl sets it; by hand, leave it out',
  })
}
