// The contexts file: which servers there are, how to prove who one is, which one is meant. Pure; `file.ts` reads and
// writes it. Checked by hand: every command reads it, and loading a schema library would take longer than that.
import { isDnsLabel } from '../../api/dns-label.ts'
import { Fault } from '../../lib/fault.ts'

/** One server, as one principal. */
export interface Context {
  readonly name: string
  /** `https://…`: tokens never go over plain http. */
  readonly server: string
  /** PEM. Absent: the server's certificate is signed by a CA that this machine trusts anyway. */
  readonly ca?: string | undefined
  readonly token: string
  /** Of namespaced kinds, when the command names none. */
  readonly namespace: string
}

export interface Config {
  readonly current?: string | undefined
  readonly contexts: readonly Context[]
}

export const EMPTY_CONFIG: Config = { contexts: [] }

export type Wrong = (path: readonly (string | number)[], why: string) => Fault

/** `wrong` makes the fault for a field. */
export function checkConfig(value: unknown, wrong: Wrong): Config {
  const { current, contexts = [] } = fieldsOf(value, [], ['current', 'contexts'], wrong)
  if (current !== undefined && typeof current !== 'string')
    throw wrong(['current'], 'must be the name of a context')
  if (!Array.isArray(contexts)) throw wrong(['contexts'], 'must be a list')
  const checked = contexts.map((each, index) => checkContext(each, ['contexts', index], wrong))
  return { ...(current === undefined ? {} : { current }), contexts: checked }
}

function checkContext(value: unknown, path: readonly (string | number)[], wrong: Wrong): Context {
  const fields = fieldsOf(value, path, ['name', 'server', 'ca', 'token', 'namespace'], wrong)
  const text = (name: string, what: string): string => {
    const field = fields[name]
    if (typeof field === 'string' && field !== '') return field
    throw wrong([...path, name], `must be ${what}`)
  }
  const server = text('server', 'the URL of a server')
  if (!isServerUrl(server)) throw wrong([...path, 'server'], HTTPS_ONLY)
  const namespace = fields.namespace === undefined ? 'default' : text('namespace', 'a name')
  if (!isDnsLabel(namespace)) throw wrong([...path, 'namespace'], `'${namespace}' cannot be a name`)
  return {
    name: text('name', 'a name'),
    server,
    ...(fields.ca === undefined ? {} : { ca: text('ca', 'a certificate in PEM') }),
    token: text('token', 'a token'),
    namespace,
  }
}

function fieldsOf(
  value: unknown,
  path: readonly (string | number)[],
  known: readonly string[],
  wrong: Wrong,
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong(path, 'must have fields')
  const unknown = Object.keys(value).find(name => !known.includes(name))
  if (unknown === undefined) return value as Record<string, unknown>
  throw wrong([...path, unknown], `is no field of this file; there are ${known.join(', ')}`)
}

const HTTPS_ONLY = 'must be an https:// URL: tokens never go over plain http'

function isServerUrl(text: string): boolean {
  return URL.canParse(text) && new URL(text).protocol === 'https:'
}

/** JSON, which is YAML as well. */
export function formatConfig({ current, contexts }: Config): string {
  return `${JSON.stringify({ ...(current === undefined ? {} : { current }), contexts }, null, 2)}\n`
}

/** The config with `context` in place of the one of its name. The first context ever becomes the current one. */
export function withContext(config: Config, context: Context, makeCurrent: boolean): Config {
  const others = config.contexts.filter(each => each.name !== context.name)
  const current = makeCurrent || config.current === undefined ? context.name : config.current
  return { current, contexts: [...others, context] }
}

/** Faults with `not_found` and names the contexts that there are. */
export function getContext(config: Config, name: string): Context {
  const context = config.contexts.find(each => each.name === name)
  if (context !== undefined) return context
  const names = config.contexts.map(each => each.name)
  const hint =
    names.length === 0
      ? "there is none yet: 'bothy up' makes one"
      : `there ${names.length === 1 ? 'is' : 'are'} ${names.join(', ')}`
  throw new Fault('not_found', 'context-unknown', `use context '${name}': no such context`, { hint })
}

export interface Overrides {
  /** `--context`. */
  readonly context?: string | undefined
  /** `--namespace`. */
  readonly namespace?: string | undefined
  /** BOTHY_SERVER, BOTHY_TOKEN, and the content of the file that BOTHY_CA names. */
  readonly server?: string | undefined
  readonly token?: string | undefined
  readonly ca?: string | undefined
}

/** What is connected to. */
export interface Connection {
  readonly server: string
  readonly token: string
  readonly ca: string | undefined
  readonly namespace: string
}

/**
 * Decides what is connected to. A token of a context goes to that context's server and to no other: BOTHY_SERVER that
 * names another one needs BOTHY_TOKEN beside it.
 */
export function resolveConnection(config: Config, overrides: Overrides): Connection {
  const name = overrides.context ?? config.current
  const isNamed = overrides.context !== undefined || (name !== undefined && overrides.server === undefined)
  const context = isNamed ? getContext(config, name!) : config.contexts.find(each => each.name === name)
  if (overrides.server !== undefined && !isServerUrl(overrides.server)) {
    throw new Fault('invalid', 'server-invalid', `connect to '${overrides.server}': not an https:// URL`, {
      hint: 'set BOTHY_SERVER to something like https://bothy.example.com:7443',
    })
  }
  const server = overrides.server ?? context?.server
  if (server === undefined) {
    throw new Fault('unavailable', 'no-context', 'connect: no server is known', {
      hint: "start one on this machine with 'bothy up', or set BOTHY_SERVER, BOTHY_TOKEN and BOTHY_CA",
    })
  }
  const isOwn = context !== undefined && new URL(context.server).origin === new URL(server).origin
  const token = overrides.token ?? (isOwn ? context.token : undefined)
  if (token === undefined) {
    throw new Fault('unauthenticated', 'no-token', `connect to ${server}: no token for this server`, {
      hint: 'set BOTHY_TOKEN',
    })
  }
  const ca = overrides.ca ?? (isOwn ? context.ca : undefined)
  return { server, token, ca, namespace: overrides.namespace ?? context?.namespace ?? 'default' }
}
