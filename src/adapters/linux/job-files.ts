// Host files inside a job. They belong to the host's root, who is nobody inside; the job's root must be able to read
// them and nobody else. Small ones (keys) are copied to /run under the job's own id; large ones (bundles) keep their
// place and are mounted with shifted ids, which the pool's file system can.
import { chown, copyFile, mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DiskJob } from '../../core/driver.ts'
import type { RuntimePaths } from './layout.ts'
import type { Slot } from './slots.ts'

// /run is memory.
const COPY_BYTES = 1 << 20

export interface ShownFile {
  /** What is mounted into the job. */
  readonly source: string
  readonly target: string
  /** To be mounted at `source` first, with shifted ids. */
  readonly shift?: string
}

export async function showFiles(
  paths: RuntimePaths,
  files: DiskJob['files'],
  slot: Slot,
): Promise<ShownFile[]> {
  const dir = join(paths.dir, 'shown')
  await mkdir(dir, { recursive: true, mode: 0o711 })
  return Promise.all(
    files.map(async ({ source, target }, index) => {
      const shown = join(dir, String(index))
      if ((await stat(source)).size > COPY_BYTES) {
        await writeFile(shown, '', { mode: 0o600 })
        return { source: shown, target, shift: source }
      }
      // Made private before it has content.
      await writeFile(shown, '', { mode: 0o400, flag: 'wx' })
      await copyFile(source, shown)
      await chown(shown, slot.idBase, slot.idBase)
      return { source: shown, target }
    }),
  )
}
