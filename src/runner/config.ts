// What an operator decides for one runner: DATA/runner.yaml, optional, read when the runner starts.
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import { bytesSchema } from '../api/quantity.ts'
import { Fault } from '../lib/fault.ts'

const absolute = z.string().startsWith('/', 'an absolute path')

const configSchema = z.strictObject({
  git: z
    .strictObject({
      /** Host names and networks (CIDR) beyond the public internet that repositories may be cloned from. */
      allow: z.array(z.string().min(1)).default([]),
      /** Private key for ssh URLs. */
      sshKeyFile: absolute.optional(),
      knownHostsFile: absolute.optional(),
    })
    .prefault({}),
  network: z
    .strictObject({
      /** Private IPv4 networks (CIDR) that classes may let their environments reach. */
      allow: z.array(z.string().min(1)).default([]),
    })
    .prefault({}),
  devices: z
    .strictObject({
      /** Hooks that CDI specs bring are run, in the sandbox's namespaces. */
      hooks: z.boolean().default(false),
    })
    .prefault({}),
  registries: z
    .strictObject({
      /** `host:port` of registries that speak plain http or have a certificate that nobody knows. */
      insecure: z.array(z.string().min(1)).default([]),
      authFile: absolute.optional(),
    })
    .prefault({}),
  images: z
    .strictObject({
      /** Where unpacked images are kept; several runners of one host may share it. Default: in the pool. */
      dir: absolute.optional(),
      /** Images that no environment or snapshot needs are kept for so long after they were used last. */
      keepDays: z.number().nonnegative().max(3650).default(7),
      /** Ceilings for one image, unpacked. */
      maxSize: bytesSchema.default('20Gi'),
      /** Most that is kept of downloads, for later images with the same layers. */
      cacheSize: z.union([z.literal(0), bytesSchema]).default('4Gi'),
      maxFiles: z.int().positive().default(5_000_000),
    })
    .prefault({}),
  /** What environments' disks are: images, or folders where images cannot be mounted. */
  disks: z.enum(['auto', 'image', 'directory']).default('auto'),
  /** Debian mirror for `bootstrap:` images. Default: the host's own. */
  mirror: z.url().optional(),
})

export type RunnerConfig = z.infer<typeof configSchema>

/** Faults with `invalid` and names the field; a file that is not there is all defaults. */
export async function loadRunnerConfig(path: string): Promise<RunnerConfig> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return ''
    throw new Fault('unavailable', 'runner-config-unreadable', `read ${path}: ${cause.message}`, { cause })
  })
  let value: unknown
  try {
    value = parse(text) ?? {}
  } catch (cause) {
    throw refuse(path, (cause as Error).message, cause)
  }
  const parsed = configSchema.safeParse(value)
  if (parsed.success) return parsed.data
  throw refuse(path, z.prettifyError(parsed.error), parsed.error)
}

const refuse = (path: string, why: string, cause: unknown): Fault =>
  new Fault('invalid', 'runner-config-invalid', `read ${path}: ${why}`, {
    cause,
    hint: 'correct the file, or remove it to have the defaults; docs/operate/runner-configuration.md explains it',
  })
