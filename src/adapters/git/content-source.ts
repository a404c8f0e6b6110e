import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { z } from 'zod'
import { type GitUrl, parseGitUrl } from '../../api/git-url.ts'
import type { EnvironmentSpec } from '../../api/kinds/environment.ts'
import { nameSchema } from '../../api/names.ts'
import type { ClonedContent, ContentFiles, ContentSource } from '../../core/content.ts'
import type { DiskJob } from '../../core/driver.ts'
import { Fault } from '../../lib/fault.ts'
import { type AddressPolicy, createAddressPolicy } from './address-policy.ts'
import { chooseAddress } from './choose-address.ts'
import { explainCloneFailure } from './clone-failure.ts'
import { cloneJob, type SshFiles, TARGETS } from './clone-job.ts'

type Content = EnvironmentSpec['content']

export interface ContentSourceOptions {
  /** Host names and nets beyond the public internet that repositories may be cloned from: the runner's `git.allow`. */
  readonly allow: readonly string[]
  /** Private key for ssh URLs. The job must be able to read it, nobody else. */
  readonly sshKeyFile?: string
  /** Keys of ssh hosts; without it a host is trusted at first sight, for one clone. */
  readonly knownHostsFile?: string
}

// Everything that comes out of a job was written by the repository's owner, as far as we know.
const resultSchema = z.strictObject({
  directory: nameSchema,
  commit: z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/),
  branch: z
    .string()
    .max(256)
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._/+@#=,-]*$/)
    .optional(),
})

/** Clones by git, in a job that reaches the repository's host and nothing else. */
export function createContentSource(options: ContentSourceOptions): ContentSource {
  const policy = createAddressPolicy(options.allow)
  return {
    plan: (content, files) => plan(content, files, options, policy),

    parseResult(stdout): ClonedContent {
      try {
        const { branch, ...rest } = resultSchema.parse(JSON.parse(stdout))
        return branch === undefined ? rest : { ...rest, branch }
      } catch (cause) {
        const message = 'read what a clone printed: it is not the expected line'
        throw new Fault('internal', 'clone-result-invalid', message, { cause })
      }
    },

    explainFailure(content, code, stderr) {
      if (content.git !== undefined)
        return explainCloneFailure(content.git.url, content.git.ref, code, stderr)
      return explainCloneFailure('the files that were sent', content.upload?.ref, code, stderr)
    },
  }
}

async function plan(
  content: Content,
  files: ContentFiles,
  options: ContentSourceOptions,
  policy: AddressPolicy,
): Promise<DiskJob | undefined> {
  if (content.upload !== undefined) {
    const { directory, ref, origin } = content.upload
    if (files.bundle === undefined) {
      const hint = 'send the files again'
      throw new Fault('unavailable', 'bundle-missing', `fill ${directory}: nothing was sent yet`, { hint })
    }
    const source = TARGETS.bundle
    const request = { kind: 'bundle', directory, source, protocol: 'file', ref, depth: 0, origin } as const
    return {
      ...cloneJob({ ...request, workspaces: '/workspaces' }, {}),
      reach: [],
      files: [{ source: files.bundle, target: TARGETS.bundle }],
    }
  }
  if (content.git === undefined) return undefined
  const url = parseGitUrl(content.git.url)
  const { ref, depth } = content.git
  const directory = content.git.directory ?? url.directory
  const address = chooseAddress(url.host, await resolve(url), policy)
  const ssh: SshFiles = url.scheme === 'ssh' ? options : {}
  const request = { kind: 'git', directory, source: url.url, protocol: url.scheme, ref, depth } as const
  return {
    ...cloneJob({ ...request, workspaces: '/workspaces', origin: undefined }, ssh),
    reach: [{ host: url.host, address, port: url.port }],
    files: [
      ...(ssh.sshKeyFile === undefined ? [] : [{ source: ssh.sshKeyFile, target: TARGETS.sshKey }]),
      ...(ssh.knownHostsFile === undefined
        ? []
        : [{ source: ssh.knownHostsFile, target: TARGETS.knownHosts }]),
    ],
  }
}

async function resolve({ host }: GitUrl): Promise<string[]> {
  if (isIP(host) !== 0) return [host]
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch (cause) {
    const hint = "check the URL, and whether the runner's host can resolve the name"
    throw new Fault(
      'unavailable',
      'git-host-unresolved',
      `find the address of ${host}: the name does not resolve`,
      { cause, hint },
    )
  }
}
