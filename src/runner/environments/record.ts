import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { toFault } from '../../lib/fault.ts'

const contentSchema = z.object({
  git: z.object({ directory: z.string(), commit: z.string(), branch: z.string().optional() }).optional(),
})

/** What a disk holds, and what it lies on top of: goes along with every copy of it. */
export const diskContentSchema = z.object({
  /** Set when the content is complete: it is never made again. */
  content: contentSchema.optional(),
  /** What the disk's changes lie on top of: the same at every start. */
  image: z
    .object({
      reference: z.string(),
      digest: z.string(),
      layers: z.array(z.string()),
      env: z.array(z.string()),
      workingDir: z.string(),
      user: z.string(),
      init: z.array(z.string()).optional(),
      fallback: z.string().optional(),
    })
    .optional(),
})

const recordSchema = diskContentSchema.extend({
  uid: z.string(),
  namespace: z.string(),
  name: z.string(),
  /** The content that its disk has, if it has one: while it is being copied from another. */
  copying: contentSchema.optional(),
  /** Set once this runner has seen that the environment is being deleted: what is left of it may go, whoever forgets it. */
  deleting: z.literal(true).optional(),
})

/** What the host remembers of an environment, in `environment.json` of its folder: written before its disk exists. */
export type EnvironmentRecord = z.infer<typeof recordSchema>

const FILE = 'environment.json'

/** Undefined when there is none. Faults with `internal` when it cannot be read or is not ours. */
export function findRecord(folder: string): Promise<EnvironmentRecord | undefined> {
  return readRecord(join(folder, FILE), recordSchema)
}

/** As `findRecord`, for any record. */
export async function readRecord<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw toFault(error)
  }
  // Emptied by a power cut in the first moments of its life: nothing was made yet. See writeRecord.
  if (text === '') return undefined
  return schema.parse(JSON.parse(text))
}

/** Never half-written; and durable where content was made: it must not be made again after a power cut. */
export async function writeRecord(folder: string, record: EnvironmentRecord): Promise<void> {
  await keepRecord(join(folder, FILE), record, record.content?.git !== undefined)
}

export async function keepRecord(path: string, record: object, isDurable: boolean): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writeFile(JSON.stringify(record, null, 2))
    if (isDurable) await file.datasync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}
