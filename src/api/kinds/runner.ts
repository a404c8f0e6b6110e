import { z } from 'zod'
import { conditionsSchema } from '../conditions.ts'
import { bytesSchema } from '../quantity.ts'
import type { KindDefinition } from './kind.ts'
import { KIND_NAMES } from './kind-names.ts'

export const runnerSpecSchema = z.strictObject({
  cordoned: z.boolean().default(false).describe('True: takes no new environments.'),
})

const sum = z.strictObject({
  count: z.int().nonnegative(),
  size: z.string().describe('What they take; blocks that several share count for each.'),
})

const storageSchema = z.strictObject({
  time: z.string().describe('When it was measured.'),
  size: z.string().describe('Of the file system that disks and images lie on.'),
  free: z.string().describe('What is left for everybody.'),
  disks: sum.describe('Of environments, stopped ones included.'),
  snapshots: sum,
  images: z.strictObject({
    ...sum.shape,
    largest: z
      .array(
        z.strictObject({
          digest: z.string(),
          references: z.array(z.string()).describe('What it was asked for as.'),
          size: z.string(),
          lastUsed: z.string(),
          users: z.int().nonnegative().describe('How many environments and snapshots lie on top of it.'),
        }),
      )
      .describe('The largest twenty.'),
  }),
})

export const runnerStatusSchema = z.strictObject({
  version: z.string().optional().describe('Version of Bothy that it runs.'),
  driver: z.string().optional(),
  gateway: z
    .strictObject({ url: z.string() })
    .optional()
    .describe('Where clients reach its gateway directly. Absent: through the relay only.'),
  devices: z
    .array(z.string())
    .optional()
    .describe('CDI devices that environments here can be given. Absent: none.'),
  isolations: z
    .array(z.string())
    .optional()
    .describe('Isolations that environments here can have. Absent: userns alone.'),
  capacity: z
    .strictObject({
      cores: z.number().positive(),
      memory: bytesSchema.describe('Of the host, less what it needs for itself.'),
      memoryRatio: z
        .number()
        .positive()
        .describe('How much of that is promised to environments: above 1, swap makes up for it.'),
      disk: bytesSchema.optional().describe('Of the file system that disks lie on. Absent: not told.'),
      diskRatio: z
        .number()
        .positive()
        .optional()
        .describe(
          'How much of that disks may be promised: they are sparse and share what they have in common.',
        ),
    })
    .optional()
    .describe('What it has for environments. Absent: it takes as many as come.'),
  storage: storageSchema.optional().describe('What it takes on the host; measured now and then.'),
  conditions: conditionsSchema.default([]),
})

export type RunnerSpec = z.infer<typeof runnerSpecSchema>
export type RunnerStatus = z.infer<typeof runnerStatusSchema>

export const runner: KindDefinition<RunnerSpec, RunnerStatus> = {
  ...KIND_NAMES.Runner,
  description:
    'A machine (or several) that turns Environments into sandboxes. It dials out; nothing dials it by necessity.',
  spec: runnerSpecSchema,
  status: runnerStatusSchema,
  emptyStatus: { conditions: [] },
  columns: [
    {
      name: 'Ready',
      type: 'string',
      path: '.status.conditions[?(@.type=="Ready")].status',
      description: 'Can it run environments?',
    },
    { name: 'Driver', type: 'string', path: '.status.driver', description: 'How it makes sandboxes.' },
    { name: 'Version', type: 'string', path: '.status.version', description: 'Its version.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Time since creation.' },
    {
      name: 'Memory',
      type: 'string',
      path: '.status.capacity.memory',
      description: 'What it has for environments.',
      wide: true,
    },
    {
      name: 'Gateway',
      type: 'string',
      path: '.status.gateway.url',
      description: 'Its direct address.',
      wide: true,
    },
    {
      name: 'Free',
      type: 'string',
      path: '.status.storage.free',
      description: 'Room that is left for disks and images.',
      wide: true,
    },
    {
      name: 'Images',
      type: 'string',
      path: '.status.storage.images.size',
      description: 'What its images take.',
      wide: true,
    },
  ],
  immutable: [],
  setOnce: [],
  selectable: [],
  actions: ['enrollment-token'],
}
