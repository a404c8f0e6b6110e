import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { toFault } from '../../lib/fault.ts'

const recordSchema = z.object({
  uid: z.string(),
  namespace: z.string(),
  name: z.string(),
  /** Set when the content is complete: it is never made again. */
  content: z
    .object({
      git: z.object({ directory: z.string(), commit: z.string(), branch: z.string().optional() }).optional(),
    })
    .optional(),
  /** What the disk's changes lie on top of: the same at every start. */
  image: z
    .object({
      reference: z.string(),
      digest: z.string(),
      layers: z.array(z.string()),
      env: z.array(z.string()),
      workingDir: z.string(),
      user: z.string(),
      fallback: z.string().optional(),
    })
    .optional(),
  /** Set once this runner has seen that the environment is being deleted: what is left of it may go, whoever forgets it. */
  deleting: z.literal(true).optional(),
})

/** What the host remembers of an environment, in `environment.json` of its folder: written before its disk exists. */
export type EnvironmentRecord = z.infer<typeof recordSchema>

const FILE = 'environment.json'

/** Undefined when there is none. Faults with `internal` when it cannot be read or is not ours. */
export async function findRecord(folder: string): Promise<EnvironmentRecord | undefined> {
  let text: string
  try {
    text = await readFile(join(folder, FILE), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw toFault(error)
  }
  // Emptied by a power cut in the first moments of its life: nothing was made yet. See writeRecord.
  if (text === '') return undefined
  return recordSchema.parse(JSON.parse(text))
}

/** Never half-written; and durable where content was made: it must not be made again after a power cut. */
export async function writeRecord(folder: string, record: EnvironmentRecord): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, FILE)
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writeFile(JSON.stringify(record, null, 2))
    if (record.content?.git !== undefined) await file.datasync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}
