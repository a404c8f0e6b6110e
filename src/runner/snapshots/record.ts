import { join } from 'node:path'
import { z } from 'zod'
import { diskContentSchema, keepRecord, readRecord } from '../environments/record.ts'

const snapshotRecordSchema = diskContentSchema.extend({
  uid: z.string(),
  namespace: z.string(),
  name: z.string(),
  environment: z.object({ uid: z.string(), epoch: z.number() }),
  createdMs: z.number(),
  /** How the copy went; absent when whoever made it was killed before it could say. */
  copy: z.object({ pausedMs: z.number(), extents: z.number().optional() }).optional(),
  /** Set once this runner has seen that the snapshot is being deleted. */
  deleting: z.literal(true).optional(),
})

/** What the host remembers of a snapshot, in `snapshot.json` of its folder: written before its disk exists. */
export type SnapshotRecord = z.infer<typeof snapshotRecordSchema>

const FILE = 'snapshot.json'

/** Undefined when there is none. */
export function findSnapshotRecord(folder: string): Promise<SnapshotRecord | undefined> {
  return readRecord(join(folder, FILE), snapshotRecordSchema)
}

/** Never half-written, and durable: without it nobody knows what the disk lies on top of. */
export function writeSnapshotRecord(folder: string, record: SnapshotRecord): Promise<void> {
  return keepRecord(join(folder, FILE), record, true)
}
