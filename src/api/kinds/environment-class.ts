import { z } from 'zod'
import type { Millis } from '../../lib/clock.ts'
import { deviceNameSchema } from '../device-name.ts'
import { durationSchema, parseDuration } from '../duration.ts'
import { imageReferenceSchema } from '../image-reference.ts'
import { ISOLATIONS } from '../isolation.ts'
import { nameSchema } from '../names.ts'
import { networkSchema } from '../network-policy.ts'
import { bytesSchema, coresSchema, diskSizeSchema, parseBytes, parseCores } from '../quantity.ts'
import type { KindDefinition } from './kind.ts'
import { KIND_NAMES } from './kind-names.ts'

// Slower disks are no use to anybody: a start reads some 10 MB.
const rateSchema = bytesSchema.refine(text => parseBytes(text) >= 2 ** 20, 'at least 1Mi')

export const environmentClassSpecSchema = z.strictObject({
  description: z.string().max(200).optional(),
  runner: nameSchema.optional().describe('The Runner that environments of this class go to. Default: any.'),
  image: imageReferenceSchema.describe('Image of environments that name none.'),
  fallbackImage: imageReferenceSchema
    .optional()
    .describe('Used when no registry can be reached; the condition ImageReady then says so.'),
  cpu: z
    .strictObject({
      weight: z
        .int()
        .min(1)
        .max(10_000)
        .default(100)
        .describe(
          'Share of the processors among environments that compete for them; twice as much is twice the share.',
        ),
      ceiling: coresSchema
        .optional()
        .describe(
          'Most processors that an environment gets, idle ones too, e.g. 2 or 500m. Default: all there are.',
        ),
    })
    .optional()
    .describe('Processors. Idle ones go to whoever asks; who was quiet gets several at once.'),
  io: z
    .strictObject({
      weight: z
        .int()
        .min(1)
        .max(10_000)
        .default(100)
        .describe('Share of the disks among environments that compete for them.'),
      readBytesPerSecond: rateSchema
        .optional()
        .describe('Most that an environment reads from its disk, e.g. 200Mi. Default: no limit.'),
      writeBytesPerSecond: rateSchema
        .optional()
        .describe('Most that an environment writes to its disk. Default: no limit.'),
    })
    .optional()
    .describe('Disks. Who moves more than its share is slowed down only while others wait.'),
  memory: bytesSchema.default('4Gi').describe('Ceiling of memory, swapped or not.'),
  memoryGuarantee: bytesSchema
    .optional()
    .describe(
      'Memory that is promised even when all are busy; runners admit by it. Default: a quarter of memory.',
    ),
  suspendAfter: durationSchema
    .optional()
    .describe(
      'Idle for so long, it is frozen and its memory pushed out, until somebody knocks. Default: 10m; 0: never.',
    ),
  disk: diskSizeSchema
    .default('20Gi')
    .describe(
      'Size of the disk, at most 8Ti: a hard limit. Raised, it holds for the environments that are there from their next start.',
    ),
  pids: z.int().min(64).max(4_194_304).default(4096).describe('Ceiling of processes and threads.'),
  isolation: z
    .enum(ISOLATIONS)
    .optional()
    .describe(
      'What stands between environments and the host. userns (the default): namespaces of the kernel that all share. gvisor: a kernel of ' +
        'their own in user space (gVisor), slower, and with less that works inside. More may come, such as vm.',
    ),
  network: networkSchema.optional().describe('What environments reach, and how much of it at a time.'),
  devices: z
    .array(deviceNameSchema)
    .max(64, 'at most 64 devices')
    .refine(names => new Set(names).size === names.length, 'each device once')
    .optional()
    .describe('CDI devices of the host that environments are given, e.g. nvidia.com/gpu=all.'),
})

export const environmentClassStatusSchema = z.strictObject({})

export type EnvironmentClassSpec = z.infer<typeof environmentClassSpecSchema>
export type EnvironmentClassStatus = z.infer<typeof environmentClassStatusSchema>

export const environmentClass: KindDefinition<EnvironmentClassSpec, EnvironmentClassStatus> = {
  ...KIND_NAMES.EnvironmentClass,
  description: 'A size and flavour of environments: resources, image, where they may run.',
  spec: environmentClassSpecSchema,
  status: environmentClassStatusSchema,
  emptyStatus: {},
  columns: [
    { name: 'Memory', type: 'string', path: '.spec.memory', description: 'Ceiling of memory.' },
    { name: 'Disk', type: 'string', path: '.spec.disk', description: 'Size of the disk.' },
    { name: 'Image', type: 'string', path: '.spec.image', description: 'Default image.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Time since creation.' },
    {
      name: 'Isolation',
      type: 'string',
      path: '.spec.isolation',
      description: 'What stands between environments and the host.',
      wide: true,
    },
  ],
  immutable: [],
  setOnce: [],
  selectable: [],
  check(_namespace, { memory, memoryGuarantee }) {
    if (memoryGuarantee === undefined || parseBytes(memoryGuarantee) <= parseBytes(memory)) return []
    const message = `must not be more than the ceiling, ${memory}`
    return [{ field: 'spec.memoryGuarantee', message, reason: 'FieldValueInvalid' }]
  },
  actions: [],
}

/** What is promised to each environment of the class. */
export function guaranteedBytes({
  memory,
  memoryGuarantee,
}: Pick<EnvironmentClassSpec, 'memory' | 'memoryGuarantee'>): number {
  return memoryGuarantee === undefined ? Math.floor(parseBytes(memory) / 4) : parseBytes(memoryGuarantee)
}

/** How long environments of the class are idle before they are suspended; undefined: they never are. */
export function suspendAfterMs({
  suspendAfter = '10m',
}: Pick<EnvironmentClassSpec, 'suspendAfter'>): Millis | undefined {
  return parseDuration(suspendAfter) || undefined
}

/** What a class says of processors. `cores`: absent is all there are. */
export function cpuTerms({ cpu }: Pick<EnvironmentClassSpec, 'cpu'>): { cpuWeight: number; cores?: number } {
  const { weight = 100, ceiling } = cpu ?? {}
  return { cpuWeight: weight, ...(ceiling === undefined ? {} : { cores: parseCores(ceiling) }) }
}

/** What a class says of disks; undefined: nothing. */
export function ioTerms({ io }: Pick<EnvironmentClassSpec, 'io'>): { io?: IoTerms } {
  if (io === undefined) return {}
  const { weight, readBytesPerSecond, writeBytesPerSecond } = io
  return {
    io: {
      weight,
      ...(readBytesPerSecond === undefined ? {} : { readBytesPerSecond: parseBytes(readBytesPerSecond) }),
      ...(writeBytesPerSecond === undefined ? {} : { writeBytesPerSecond: parseBytes(writeBytesPerSecond) }),
    },
  }
}

interface IoTerms {
  readonly weight: number
  readonly readBytesPerSecond?: number
  readonly writeBytesPerSecond?: number
}
