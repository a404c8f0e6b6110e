import { posix } from 'node:path'
import { z } from 'zod'
import { Fault } from '../../lib/fault.ts'
import type { ImageConfig } from './image-folder.ts'

// The parts of the OCI image specification's documents that are used. Whoever built the image wrote them: what comes
// out of here is put into files and argument lists later.
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/)
const descriptor = z.object({ mediaType: z.string(), digest, size: z.int().nonnegative() })
const indexSchema = z.object({ manifests: z.array(descriptor) })
const manifestSchema = z.object({ config: descriptor, layers: z.array(descriptor).max(1000) })
const text = z
  .string()
  .max(65_536)
  .refine(value => !value.includes('\0'), 'no NUL')
const configSchema = z.object({
  rootfs: z.object({ diff_ids: z.array(digest) }),
  config: z
    .object({
      Env: z.array(text).max(1000).nullish(),
      User: z
        .string()
        .regex(/^(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?)?$/)
        .nullish(),
      WorkingDir: text.nullish(),
      Entrypoint: z.array(text).max(1000).nullish(),
      Cmd: z.array(text).max(1000).nullish(),
    })
    .nullish(),
})

export type Descriptor = z.infer<typeof descriptor>
export type Manifest = z.infer<typeof manifestSchema>

const platformsSchema = z.object({
  manifests: z.array(
    z.object({
      platform: z
        .object({ os: z.string(), architecture: z.string(), variant: z.string().optional() })
        .optional(),
    }),
  ),
})

/** For which platforms an index has an image, `linux/arm64/v8`; none where it is no index. */
export function parsePlatforms(json: string): readonly string[] {
  let document: unknown
  try {
    document = JSON.parse(json)
  } catch {
    return [] // Asked for the sake of a better message; another one tells what is wrong with it.
  }
  const { data } = platformsSchema.safeParse(document)
  const names = (data?.manifests ?? []).flatMap(({ platform }) =>
    // What builders attach to their images, statements about how they were made, is for no platform.
    platform === undefined || platform.os === 'unknown'
      ? []
      : [[platform.os, platform.architecture, platform.variant ?? ''].filter(part => part !== '').join('/')],
  )
  return [...new Set(names.filter(name => /^[\w./-]{1,64}$/.test(name)))].slice(0, 20)
}

/** The one image of a layout's `index.json`. */
export function parseIndex(json: string, what: string): Descriptor {
  const { manifests } = parse(indexSchema, json, what)
  if (manifests.length === 1) return manifests[0]!
  const hint = 'write one image per layout or archive'
  const message = `${what}: it holds ${manifests.length} images`
  throw new Fault('invalid', 'image-ambiguous', message, { hint })
}

export function parseManifest(json: string, what: string): Manifest {
  return parse(manifestSchema, json, what)
}

/** What processes start with, and the digests of the layers' tar streams. */
export function parseConfig(json: string, what: string): ImageConfig & { diffIds: readonly string[] } {
  const { config, rootfs } = parse(configSchema, json, what)
  const init = initOf([...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])])
  return {
    ...(init === undefined ? {} : { init }),
    env: (config?.Env ?? []).filter(entry => /^[^=\n]+=/.test(entry)),
    user: config?.User || 'root',
    workingDir: workingDirOf(config?.WorkingDir ?? '/'),
    diffIds: rootfs.diff_ids,
  }
}

// What an image starts is of no use to an environment, whose commands come from outside, unless it is an init system.
// Those are told by their names, as other engines do.
function initOf(argv: readonly string[]): string[] | undefined {
  return /^\/(?:usr\/)?(?:(?:local\/)?sbin\/init|(?:lib|bin)\/(?:systemd\/)?systemd)$/.test(argv[0] ?? '')
    ? [...argv]
    : undefined
}

// A working directory below /proc has been used to leave containers through an open descriptor (CVE-2024-21626).
function workingDirOf(path: string): string {
  const clean = posix.resolve('/', path)
  return /^\/(?:proc|sys|dev)(?:\/|$)/.test(clean) ? '/' : clean
}

function parse<T>(schema: z.ZodType<T>, json: string, what: string): T {
  try {
    return schema.parse(JSON.parse(json))
  } catch (cause) {
    const hint = 'use an image for Linux in the OCI or Docker format'
    throw new Fault('invalid', 'image-metadata', `${what}: its metadata cannot be understood`, {
      cause,
      hint,
    })
  }
}
