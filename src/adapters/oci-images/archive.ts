import { readFile, realpath, stat, symlink } from 'node:fs/promises'
import { join, sep } from 'node:path'
import type { ImageReference } from '../../api/image-reference.ts'
import { Fault } from '../../lib/fault.ts'
import { runProcess } from '../../lib/run-process.ts'
import { parseIndex } from './image-config.ts'
import type { Source } from './registry.ts'

type ArchiveReference = Extract<ImageReference, { kind: 'archive' }>

export interface Archive {
  readonly reference: string
  readonly path: string
  readonly format: ArchiveReference['format']
  /** Changes whenever the archive does. */
  readonly stamp: string
}

/**
 * Finds an archive by its name. Links are followed as long as they stay inside the archive folder. Faults with
 * `not_found`, and with `forbidden` when a link leads out.
 */
export async function locateArchive(archivesDir: string, archive: ArchiveReference): Promise<Archive> {
  const reference = `${archive.format}:${archive.name}`
  const what = `find image ${reference}`
  // What cannot be resolved is not there, whatever the reason: both end as `not_found` below.
  const root = await realpath(archivesDir).catch(() => undefined)
  const path = root && (await realpath(join(root, archive.name)).catch(() => undefined))
  // The part of a layout that changes when its content does; it must not lead out either.
  const index =
    path && archive.format === 'oci' ? await realpath(join(path, 'index.json')).catch(() => undefined) : path
  if (root === undefined || path === undefined || index === undefined) {
    const hint = "put it into the runner's folder of archives"
    throw new Fault('not_found', 'image-archive-missing', `${what}: no such archive`, { hint })
  }
  if (![path, index].every(inside => inside.startsWith(root + sep))) {
    const hint = 'copy the archive instead of linking to it'
    throw new Fault('forbidden', 'image-archive-outside', `${what}: it lies outside of the archive folder`, {
      hint,
    })
  }
  const found = await stat(index, { bigint: true })
  if (!found.isFile()) {
    const hint = 'oci-archive: names a file, oci: a directory'
    throw new Fault('invalid', 'image-archive-kind', `${what}: it is not a file`, { hint })
  }
  const stamp = [index, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ')
  return { reference, path, format: archive.format, stamp }
}

/** The digest of the archive's one image. */
export async function archiveDigest(archive: Archive, signal: AbortSignal): Promise<string> {
  const what = `read image ${archive.reference}`
  if (archive.format === 'oci') {
    return parseIndex(await readFile(join(archive.path, 'index.json'), 'utf8'), what).digest
  }
  for (const name of ['index.json', './index.json']) {
    const argv = ['tar', '--extract', '--to-stdout', '--occurrence=1', '--file', archive.path, '--', name]
    const result = await runProcess(argv as [string, ...string[]], { signal })
    if (result.code === 0) return parseIndex(result.stdout, what).digest
  }
  const hint = "write it with 'skopeo copy … oci-archive:FILE' or 'podman save --format oci-archive'"
  throw new Fault('invalid', 'image-archive-malformed', `${what}: it has no index.json`, { hint })
}

/** Shows an archive to skopeo under a name without special characters: in its syntax a colon begins the tag. */
export async function linkArchive(archive: Archive, folder: string): Promise<Source> {
  await symlink(archive.path, join(folder, 'source'))
  const name = ['--', `${archive.format}:source`]
  return { inspect: name, copy: name }
}
