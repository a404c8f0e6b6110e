import { z } from 'zod'
import { conditionsSchema } from '../conditions.ts'
import { environmentNameSchema, nameSchema } from '../names.ts'
import { bytesSchema } from '../quantity.ts'
import type { KindDefinition } from './kind.ts'
import { KIND_NAMES } from './kind-names.ts'

export const snapshotSpecSchema = z.strictObject({
  environment: environmentNameSchema.describe('The Environment whose disk is kept as it is now.'),
  runner: nameSchema.optional().describe('The Runner that keeps it. Set once, by the scheduler.'),
})

export const SNAPSHOT_PHASES = ['Pending', 'Creating', 'Ready', 'Failed', 'Deleting'] as const

export const snapshotStatusSchema = z.strictObject({
  phase: z
    .enum(SNAPSHOT_PHASES)
    .default('Pending')
    .describe('Summary. Ready holds exactly when condition Ready is True: environments can be made of it.'),
  observedGeneration: z.int().default(0),
  conditions: conditionsSchema.default([]),
  environment: z
    .strictObject({
      uid: z.string(),
      epoch: z.int().describe('Which start of it had the disk, or had had it.'),
    })
    .optional()
    .describe('What it was taken of; the environment may be gone since.'),
  createdAt: z.string().optional().describe('The moment whose state it holds.'),
  size: bytesSchema.optional().describe('Size of the disk, as seen inside.'),
  used: bytesSchema
    .optional()
    .describe('What of it was in use; shared with the environment until that changes.'),
  pausedMs: z.int().optional().describe('How long writes inside the environment were held up.'),
  extents: z.int().optional().describe('In how many pieces the disk lay: what copies of it cost.'),
  image: z
    .strictObject({ reference: z.string(), digest: z.string() })
    .optional()
    .describe('What its root file system lies on top of.'),
})

export type SnapshotSpec = z.infer<typeof snapshotSpecSchema>
export type SnapshotStatus = z.infer<typeof snapshotStatusSchema>
export type SnapshotPhase = SnapshotStatus['phase']

export const snapshot: KindDefinition<SnapshotSpec, SnapshotStatus> = {
  ...KIND_NAMES.Snapshot,
  description:
    "What an environment's disk held at one moment: root file system and files. Environments are made of it; it outlives its own.",
  spec: snapshotSpecSchema,
  status: snapshotStatusSchema,
  emptyStatus: snapshotStatusSchema.parse({}),
  columns: [
    { name: 'Phase', type: 'string', path: '.status.phase', description: 'Can it be used?' },
    { name: 'Environment', type: 'string', path: '.spec.environment', description: 'What it was taken of.' },
    { name: 'Used', type: 'string', path: '.status.used', description: 'What of its disk was in use.' },
    { name: 'Runner', type: 'string', path: '.spec.runner', description: 'Where it is kept.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Time since creation.' },
    { name: 'Size', type: 'string', path: '.status.size', description: 'Size of its disk.', wide: true },
    { name: 'Image', type: 'string', path: '.status.image.reference', description: 'Its image.', wide: true },
  ],
  immutable: ['spec.environment'],
  setOnce: ['spec.runner'],
  selectable: ['spec.runner', 'spec.environment', 'status.phase'],
  actions: [],
}
