import { readFile } from 'node:fs/promises'
import { Fault } from '../lib/fault.ts'
import type { ConnectOptions, Session } from './deps.ts'

type Env = Readonly<Record<string, string | undefined>>

export interface SessionSurroundings {
  readonly env: Env
  /** kubectl's current context, not ours, says where and who, as far as it leads to one of our servers. */
  readonly isKubectlPlugin?: boolean
  /** Where warnings about the contexts file go. */
  readonly warn: (message: string) => void
}

/**
 * Finds the server (contexts file, BOTHY_SERVER, BOTHY_TOKEN, BOTHY_CA) and opens a session with it. Everything heavy
 * is loaded here and not before: verbs that need no server start as fast as Node does.
 */
export async function openSession(
  given: ConnectOptions,
  surroundings: SessionSurroundings,
): Promise<Session> {
  const { warn } = surroundings
  const { options, env } = await whereabouts(given, surroundings)
  const { configPath } = await import('./config/paths.ts')
  const { loadConfig } = await import('./config/file.ts')
  const { resolveConnection } = await import('./config/contexts.ts')
  const server = nonEmpty(env.BOTHY_SERVER)
  const token = nonEmpty(env.BOTHY_TOKEN)
  const ca = nonEmpty(env.BOTHY_CA)
  const config =
    server !== undefined && token !== undefined && options.context === undefined && env.HOME === undefined
      ? { contexts: [] }
      : await loadConfig(configPath(env), warn)
  const connection = resolveConnection(config, {
    ...options,
    server,
    token,
    ca: ca === undefined ? undefined : await readCa(ca),
  })
  const { createClient } = await import('../client/create-client.ts')
  const client = createClient({
    server: connection.server,
    ca: connection.ca ?? (await trustedCas()),
    credential: () => connection.token,
  })
  return {
    store: client.store,
    namespace: connection.namespace,
    server: connection.server,
    request: (method, path, request) => client.request(method, path, request ?? {}),
    entrance: (key, kind) => client.entrance(key, kind),
    openExec: async (grant, request, signal) =>
      (await import('../client/open-exec.ts')).openExec(grant, request, signal),
    uploadContent: async (grant, stream, signal) =>
      (await import('../client/upload-content.ts')).uploadContent(grant, stream, signal),
    openLogs: async (grant, options, signal) =>
      (await import('../client/open-logs.ts')).openLogs(grant, options, signal),
    close: () => client.close(),
  }
}

async function whereabouts(options: ConnectOptions, { env, isKubectlPlugin = false }: SessionSurroundings) {
  // Who sets BOTHY_SERVER means that, whatever contexts say.
  const isSaid = options.context === undefined && nonEmpty(env.BOTHY_SERVER) !== undefined
  if (!isKubectlPlugin || isSaid) return { options, env }
  return (await import('./kubeconfig/whereabouts.ts')).kubectlWhereabouts(options, env)
}

/** Whom this machine trusts anyway, for servers behind a certificate of a public CA. */
async function trustedCas(): Promise<string> {
  const { getCACertificates } = await import('node:tls')
  return getCACertificates('default').join('\n')
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value
}

async function readCa(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new Fault('unavailable', 'ca-unreadable', `read BOTHY_CA ${path}: ${(cause as Error).message}`, {
      cause,
    })
  }
}
