// What kubectl has to know of a context: where the server is, whom to trust, and whom to ask for the token. Pure.
import type { Context } from '../config/contexts.ts'

/** The group of kubectl's credential plugins, and the version that every kubectl since 1.20 takes. */
export const CREDENTIAL_VERSION = 'client.authentication.k8s.io/v1beta1'

/** One cluster, one user and one context of a kubeconfig, which share a name. */
export interface Entries {
  readonly name: string
  readonly cluster: { readonly server: string; readonly 'certificate-authority-data'?: string }
  readonly user: { readonly exec: ExecPlugin }
  readonly context: { readonly cluster: string; readonly user: string; readonly namespace: string }
}

export interface ExecPlugin {
  readonly apiVersion: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value: string }[]
  readonly installHint: string
  readonly interactiveMode: 'Never'
  readonly provideClusterInfo: false
}

export interface EntriesOptions {
  /** Absolute path of `bothy`: kubectl may run in another folder, with another PATH. */
  readonly launcher: string
  readonly namespace: string
  /** Variables without which the plugin would look for its contexts elsewhere. */
  readonly env: Readonly<Record<string, string>>
}

/** Holds no secret: the token stays in the contexts file, and kubectl asks for it whenever it needs it. */
export function entriesOf(context: Context, { launcher, namespace, env }: EntriesOptions): Entries {
  const name = `bothy-${context.name}`
  const ca = context.ca
  const variables = Object.entries(env).map(([key, value]) => ({ name: key, value }))
  return {
    name,
    cluster: {
      server: context.server,
      ...(ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }),
    },
    user: {
      exec: {
        apiVersion: CREDENTIAL_VERSION,
        command: launcher,
        args: ['credential', '--context', context.name],
        ...(variables.length === 0 ? {} : { env: variables }),
        installHint: "bothy is not there any more. Where it is now, run 'bothy kubeconfig --write'.",
        interactiveMode: 'Never',
        provideClusterInfo: false,
      },
    },
    context: { cluster: name, user: name, namespace },
  }
}

/** A kubeconfig with nothing else in it. */
export function kubeconfigOf({ name, cluster, user, context }: Entries): unknown {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ cluster, name }],
    contexts: [{ context, name }],
    'current-context': name,
    users: [{ name, user }],
  }
}
