import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Files below a folder of the current directory, as `folder/a/b.ts`, sorted; none when there is no such folder. */
export function filesBelow(folder: string, ending: RegExp = /\.ts$/): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && ending.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name).replaceAll('\\', '/'))
    .sort((a, b) => (a < b ? -1 : 1))
}
