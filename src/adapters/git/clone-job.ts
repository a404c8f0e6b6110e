import type { DiskJob } from '../../core/driver.ts'
import { CLONE_SCRIPT } from './clone-script.ts'

/** Where the job finds the files that it is given. */
export const TARGETS = {
  bundle: '/run/bothy/content.bundle',
  sshKey: '/run/bothy/ssh-key',
  knownHosts: '/run/bothy/known-hosts',
} as const

export interface CloneRequest {
  readonly kind: 'git' | 'bundle'
  /** Folder that holds the clone's folder, as the job sees it. */
  readonly workspaces: string
  readonly directory: string
  /** The URL, or where the bundle is. */
  readonly source: string
  readonly protocol: 'https' | 'http' | 'ssh' | 'git' | 'file'
  readonly ref: string | undefined
  readonly depth: number
  readonly origin: string | undefined
}

export interface SshFiles {
  readonly sshKeyFile?: string | undefined
  readonly knownHostsFile?: string | undefined
}

// Settings for this run only: they are not written into the clone.
const CONFIG: readonly (readonly [string, string])[] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['credential.helper', ''],
  // Some hosts move repositories. Wherever a redirect leads, the job reaches one address and port only.
  ['http.followRedirects', 'initial'],
  // Bytes per second, and seconds: a server that only counts objects still says so every five seconds.
  ['http.lowSpeedLimit', '1'],
  ['http.lowSpeedTime', '120'],
  ['fetch.recurseSubmodules', 'false'],
  ['submodule.recurse', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['advice.detachedHead', 'false'],
  ['init.defaultBranch', 'main'],
]

/** The job that clones, without what it may reach and read. Nothing of the request is read by a shell. */
export function cloneJob(request: CloneRequest, ssh: SshFiles): Pick<DiskJob, 'argv' | 'env'> {
  const { workspaces, directory, source, ref, depth, kind, origin } = request
  const values = [workspaces, directory, source, ref ?? '', String(depth), kind, origin ?? '']
  return {
    argv: ['/bin/sh', '-c', CLONE_SCRIPT, 'sh', ...values],
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: '/tmp',
      // Messages as the table of failures knows them.
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_LFS_SKIP_SMUDGE: '1',
      // Stricter than protocol.*.allow: no helper that runs programs, no local path, and no change of the protocol.
      GIT_ALLOW_PROTOCOL: request.protocol,
      GIT_SSH_COMMAND: sshCommand(ssh),
      GIT_SSH_VARIANT: 'ssh',
      GIT_CONFIG_COUNT: String(CONFIG.length),
      ...Object.fromEntries(
        CONFIG.flatMap(([key, value], at) => [
          [`GIT_CONFIG_KEY_${at}`, key],
          [`GIT_CONFIG_VALUE_${at}`, value],
        ]),
      ),
    },
  }
}

/** git gives this to a shell; it is made of constants only. */
function sshCommand({ sshKeyFile, knownHostsFile }: SshFiles): string {
  const options = [
    'BatchMode=yes',
    'ConnectTimeout=20',
    'ServerAliveInterval=15',
    'GlobalKnownHostsFile=/dev/null',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    `IdentityFile=${sshKeyFile === undefined ? 'none' : TARGETS.sshKey}`,
    // Without a file there is nothing to compare with; the key is then trusted for this one clone.
    ...(knownHostsFile === undefined
      ? ['StrictHostKeyChecking=accept-new', 'UserKnownHostsFile=/tmp/known-hosts']
      : ['StrictHostKeyChecking=yes', `UserKnownHostsFile=${TARGETS.knownHosts}`]),
  ]
  return ['ssh', '-F', 'none', ...options.flatMap(option => ['-o', option])].join(' ')
}
