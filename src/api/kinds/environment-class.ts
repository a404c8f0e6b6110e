import { z } from 'zod'
import { deviceNameSchema } from '../device-name.ts'
import { imageReferenceSchema } from '../image-reference.ts'
import { ISOLATIONS } from '../isolation.ts'
import { nameSchema } from '../names.ts'
import { networkSchema } from '../network-policy.ts'
import { bytesSchema, diskSizeSchema } from '../quantity.ts'
import type { KindDefinition } from './kind.ts'
import { KIND_NAMES } from './kind-names.ts'

export const environmentClassSpecSchema = z.strictObject({
  description: z.string().max(200).optional(),
  runner: nameSchema.optional().describe('The Runner that environments of this class go to. Default: any.'),
  image: imageReferenceSchema.describe('Image of environments that name none.'),
  fallbackImage: imageReferenceSchema
    .optional()
    .describe('Used when no registry can be reached; the condition ImageReady then says so.'),
  memory: bytesSchema.default('4Gi').describe('Ceiling of memory.'),
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
    {
      name: 'Isolation',
      type: 'string',
      path: '.spec.isolation',
      description: 'What stands between environments and the host.',
      wide: true,
    },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Time since creation.' },
  ],
  immutable: [],
  setOnce: [],
  selectable: [],
  actions: [],
}
