import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { EnvironmentSpec } from '../../api/kinds/environment.ts'
import type { ClonedContent, ContentSource } from '../../core/content.ts'
import type { Driver, SandboxId } from '../../core/driver.ts'
import { Fault } from '../../lib/fault.ts'

export interface ContentDependencies {
  readonly driver: Driver
  readonly content: ContentSource
}

/** Where an upload waits until the content is made of it. */
export function bundlePath(driver: Driver, id: SandboxId): string {
  return join(driver.folder(id), 'content.bundle')
}

export function hasBundle(driver: Driver, id: SandboxId): boolean {
  return existsSync(bundlePath(driver, id))
}

// Of what a job prints on each stream, this much of the end is kept.
const KEEP_CHARACTERS = 64 * 1024

/**
 * Fills /workspaces. Undefined when there was nothing to do. Faults with what `ContentSource` makes of the failure, with
 * `cancelled` on abort. The caller records that it is done.
 */
export async function makeContent(
  { driver, content: source }: ContentDependencies,
  id: SandboxId,
  content: EnvironmentSpec['content'],
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<ClonedContent | undefined> {
  const files = content.upload === undefined ? {} : { bundle: bundlePath(driver, id) }
  const job = await source.plan(content, files)
  if (job === undefined) return undefined
  const stream = await driver.runJob(id, job, signal)
  stream.stdin.on('error', () => undefined) // It reads nothing; that the pipe breaks is no news.
  stream.stdin.end()
  // Results come on standard output, progress on standard error.
  const [stdout, stderr, exit] = await Promise.all([
    collect(stream.stdout, () => undefined),
    stream.stderr === undefined ? '' : collect(stream.stderr, onLine),
    stream.exit,
  ])
  if (signal.aborted) throw new Fault('cancelled', 'content-cancelled', 'make the content: cancelled')
  if ('signal' in exit) {
    const hint = exit.oomKilled === true ? 'give the class more memory' : 'try again'
    throw new Fault('internal', 'content-killed', `make the content: the job was ended by ${exit.signal}`, {
      hint,
    })
  }
  if (exit.code !== 0) throw source.explainFailure(content, exit.code, stderr)
  return source.parseResult(stdout)
}

/** Once the content is on the disk, no upload is of any use: neither the one it was made of nor any other. */
export async function dropBundle(driver: Driver, id: SandboxId): Promise<void> {
  await dropUploads(driver, id, () => true)
}

/** Removes uploads that were broken off, e.g. by the end of their runner: those that are not being received any more. */
export async function dropBrokenUploads(
  driver: Driver,
  id: SandboxId,
  isReceiving: (path: string) => boolean,
): Promise<void> {
  await dropUploads(driver, id, path => path !== bundlePath(driver, id) && !isReceiving(path))
}

async function dropUploads(
  driver: Driver,
  id: SandboxId,
  isUseless: (path: string) => boolean,
): Promise<void> {
  const folder = driver.folder(id)
  const paths = (await readdir(folder)).map(name => join(folder, name))
  const uploads = paths.filter(path => path.startsWith(bundlePath(driver, id)))
  await Promise.all(uploads.filter(isUseless).map(path => rm(path, { force: true })))
}

async function collect(stream: Readable, onLine: (line: string) => void): Promise<string> {
  stream.setEncoding('utf8')
  let text = ''
  let rest = ''
  for await (const chunk of stream) {
    text = (text + chunk).slice(-KEEP_CHARACTERS)
    // Progress meters rewrite their line with carriage returns.
    const lines = (rest + chunk).split(/[\r\n]+/)
    rest = (lines.pop() ?? '').slice(-KEEP_CHARACTERS)
    for (const line of lines) if (line !== '') onLine(line)
  }
  if (rest !== '') onLine(rest)
  return text
}
