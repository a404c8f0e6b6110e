// Where kubectl stands, for its plugin: kubectl does not tell plugins, so they read what it reads.
import { basename } from 'node:path'
import { type Document, isMap, isSeq, type YAMLMap } from 'yaml'
import { type Config, getContext } from '../config/contexts.ts'
import { loadConfig } from '../config/file.ts'
import { configPath } from '../config/paths.ts'
import type { ConnectOptions } from '../deps.ts'
import { currentContext, findEntry, parseKubeconfig } from './document.ts'
import { kubeconfigPaths, readKubeconfig } from './file.ts'

type Env = Readonly<Record<string, string | undefined>>

/** A context of kubectl's, as far as it tells which of ours is meant. */
export interface KubeContext {
  readonly server: string | undefined
  readonly namespace: string
  /** Whom it asks for credentials. */
  readonly exec:
    | {
        readonly command: string
        readonly args: readonly string[]
        readonly env: Readonly<Record<string, string>>
      }
    | undefined
}

export interface Whereabouts {
  readonly options: ConnectOptions
  /** With the variables by which the kubeconfig finds our contexts file. */
  readonly env: Env
}

/**
 * What `--context` and `--namespace` mean to somebody who works with kubectl. Its contexts that lead to one of our
 * servers stand for our context and its namespace; whatever else is current there, our own current context holds.
 */
export async function kubectlWhereabouts(options: ConnectOptions, env: Env): Promise<Whereabouts> {
  const found = await findContext(options.context, env)
  if (found === undefined) return { options, env }
  const own = { ...env, ...found.exec?.env }
  const context = ownContext(found, await loadConfig(configPath(own), () => undefined))
  if (context === undefined) return { options, env }
  return { options: { context, namespace: options.namespace ?? found.namespace }, env: own }
}

/** The name of our context that one of kubectl's stands for; undefined when it leads elsewhere. */
export function ownContext({ server, exec }: KubeContext, config: Config): string | undefined {
  const at = exec?.args.indexOf('--context') ?? -1
  const named = exec?.args[at + 1]
  const asksUs = exec !== undefined && basename(exec.command) === 'bothy' && exec.args[0] === 'credential'
  // Its name is what `credential` is asked for: if that is gone, so is the way in.
  if (asksUs && at > 0 && named !== undefined) return getContext(config, named).name
  if (server === undefined || !URL.canParse(server)) return undefined
  const { origin } = new URL(server)
  const same = config.contexts.filter(each => new URL(each.server).origin === origin)
  return (same.find(each => each.name === config.current) ?? same[0])?.name
}

/** The context of that name, or the current one, as kubectl merges its files: whoever says it first is right. */
async function findContext(name: string | undefined, env: Env): Promise<KubeContext | undefined> {
  // Without a home there is nothing to read, which is no reason to fail.
  const paths = env.KUBECONFIG === undefined && env.HOME === undefined ? [] : kubeconfigPaths(env)
  const documents: Document[] = []
  for (const path of paths) {
    const text = await readKubeconfig(path)
    if (text !== undefined) documents.push(parseKubeconfig(text, path))
  }
  const first = <T>(find: (document: Document) => T | undefined): T | undefined => {
    for (const document of documents) {
      const found = find(document)
      if (found !== undefined) return found
    }
    return undefined
  }
  const wanted = name ?? first(currentContext)
  if (wanted === undefined) return undefined
  const context = inner(
    first(document => findEntry(document, 'contexts', wanted)),
    'context',
  )
  if (context === undefined) return undefined
  const [clusterName, userName] = [text(context, 'cluster') ?? '', text(context, 'user') ?? '']
  const cluster = inner(
    first(document => findEntry(document, 'clusters', clusterName)),
    'cluster',
  )
  const user = inner(
    first(document => findEntry(document, 'users', userName)),
    'user',
  )
  return {
    server: text(cluster, 'server'),
    // kubectl's own default.
    namespace: text(context, 'namespace') ?? 'default',
    exec: execOf(inner(user, 'exec')),
  }
}

function execOf(exec: YAMLMap | undefined): KubeContext['exec'] {
  const command = text(exec, 'command')
  if (exec === undefined || command === undefined) return undefined
  const pairs = items(exec, 'env').flatMap(each => {
    const [name, value] = isMap(each) ? [text(each, 'name'), text(each, 'value')] : []
    return name === undefined || value === undefined ? [] : [[name, value] as const]
  })
  return {
    command,
    args: items(exec, 'args').map(each => String((each as { value?: unknown }).value)),
    env: Object.fromEntries(pairs),
  }
}

function inner(map: YAMLMap | undefined, field: string): YAMLMap | undefined {
  const found: unknown = map?.get(field, true)
  return isMap(found) ? found : undefined
}

function items(map: YAMLMap, field: string): readonly unknown[] {
  const found: unknown = map.get(field, true)
  return isSeq(found) ? found.items : []
}

function text(map: YAMLMap | undefined, field: string): string | undefined {
  const value: unknown = map?.get(field)
  return typeof value === 'string' && value !== '' ? value : undefined
}
