import { z } from 'zod'
import { conditionsSchema } from '../conditions.ts'
import type { KindDefinition } from './kind.ts'
import { KIND_NAMES } from './kind-names.ts'

export const runnerSpecSchema = z.strictObject({
  cordoned: z.boolean().default(false).describe('True: takes no new environments.'),
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
      name: 'Gateway',
      type: 'string',
      path: '.status.gateway.url',
      description: 'Its direct address.',
      wide: true,
    },
  ],
  immutable: [],
  setOnce: [],
  selectable: [],
  actions: ['enrollment-token'],
}
