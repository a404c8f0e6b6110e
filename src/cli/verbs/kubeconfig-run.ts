import { resolve } from 'node:path'
import { isDnsLabel } from '../../api/dns-label.ts'
import { Fault } from '../../lib/fault.ts'
import { type Context, getContext } from '../config/contexts.ts'
import { loadConfig } from '../config/file.ts'
import { configPath, configVariables } from '../config/paths.ts'
import type { Deps } from '../deps.ts'
import { currentContext, parseKubeconfig } from '../kubeconfig/document.ts'
import { type Entries, entriesOf, kubeconfigOf } from '../kubeconfig/entries.ts'
import { changeKubeconfig, kubeconfigPaths, readKubeconfig } from '../kubeconfig/file.ts'
import { type Merged, mergeKubeconfig } from '../kubeconfig/merge.ts'
import { calledAs } from '../output/called-as.ts'
import { printValue } from '../output/formats.ts'
import { escapeControls, oneLine } from '../output/text.ts'
import type { KubeconfigOptions } from './kubeconfig.ts'

export async function runKubeconfig(deps: Deps, options: KubeconfigOptions): Promise<void> {
  if (options.use === true && options.write === undefined) {
    throw new Fault('invalid', 'use-without-write', '--use: there is no file to write it into', {
      hint: 'bothy kubeconfig --write --use',
    })
  }
  const entries = await entriesFor(deps, options)
  if (options.write === undefined) return print(deps, entries, options.output)
  const [first = '', ...others] = kubeconfigPathsOf(deps, options.write)
  const path = resolve(deps.cwd, first)
  const hasCurrentElsewhere = await hasCurrent(others.map(each => resolve(deps.cwd, each)))
  let merged: Merged | undefined
  await changeKubeconfig(path, deps, text => {
    const { use = false, namespace } = options
    const setNamespace = namespace !== undefined
    merged = mergeKubeconfig(text, path, entries, { use, setNamespace, hasCurrentElsewhere })
    return merged.text
  })
  await report(deps, options, path, entries.name, merged!)
}

async function print(deps: Deps, entries: Entries, output: 'yaml' | 'json'): Promise<void> {
  if (output === 'json') return printValue(kubeconfigOf(entries), 'json', deps)
  const options = { use: true, setNamespace: true, hasCurrentElsewhere: false }
  deps.stdout.write(escapeControls(mergeKubeconfig('', 'nothing', entries, options).text))
}

function kubeconfigPathsOf({ env }: Deps, write: string | true): readonly string[] {
  return write === true ? kubeconfigPaths(env) : [write]
}

async function hasCurrent(paths: readonly string[]): Promise<boolean> {
  for (const path of paths) {
    const text = await readKubeconfig(path)
    if (text !== undefined && currentContext(parseKubeconfig(text, path)) !== undefined) return true
  }
  return false
}

async function entriesFor(deps: Deps, { context: name, namespace }: KubeconfigOptions): Promise<Entries> {
  const { env, launcher } = deps
  const path = configPath(env)
  const config = await loadConfig(path, message => void deps.stderr.write(`${oneLine(message)}\n`))
  const wanted = name ?? config.current
  if (wanted === undefined) {
    throw new Fault('not_found', 'context-none', `make a kubeconfig: no context is in use in ${path}`, {
      hint: "'bothy up' makes one on this machine; --context NAME takes another",
    })
  }
  const context = getContext(config, wanted)
  refuseOtherServer(context, env.BOTHY_SERVER)
  if (namespace !== undefined && !isDnsLabel(namespace)) {
    throw new Fault('invalid', 'namespace-invalid', `'${namespace}' cannot be a namespace`, {
      hint: "names have lower-case letters, digits and '-'",
    })
  }
  return entriesOf(context, {
    launcher,
    namespace: namespace ?? context.namespace,
    env: configVariables(env),
  })
}

/** A token from the environment would not be there when kubectl asks for it. */
function refuseOtherServer(context: Context, server: string | undefined): void {
  if (server === undefined || server === '') return
  if (URL.canParse(server) && new URL(server).origin === new URL(context.server).origin) return
  throw new Fault(
    'invalid',
    'kubeconfig-other-server',
    `make a kubeconfig for ${context.name}: BOTHY_SERVER names another server than that context`,
    { hint: 'unset BOTHY_SERVER, or choose the context of that server with --context' },
  )
}

async function report(
  deps: Deps,
  { output, use = false }: KubeconfigOptions,
  path: string,
  name: string,
  { what, isCurrent }: Merged,
): Promise<void> {
  if (output === 'json') {
    return printValue({ file: path, context: name, result: what, current: isCurrent }, 'json', deps)
  }
  const done = {
    added: `added context ${name} to ${path}`,
    updated: `updated context ${name} in ${path}`,
    unchanged: `context ${name} in ${path} is as it should be`,
  }[what]
  const next = isCurrent
    ? 'kubectl get environments'
    : `kubectl --context ${name} get environments\n       make it the current one: bothy kubeconfig --write --use`
  deps.stdout.write(`${oneLine(done)}${use || isCurrent ? '; it is the current one' : ''}\n`)
  deps.stdout.write(calledAs(`  next: ${next}\n`, deps.program))
}
