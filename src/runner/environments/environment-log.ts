// What happened to one environment, for its people: lines of JSON {at, stage, line} in its folder, bounded in size.
import { createReadStream } from 'node:fs'
import { appendFile, mkdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough, type Readable } from 'node:stream'
import type { Clock } from '../../lib/clock.ts'

export interface LogLine {
  readonly at: string
  readonly stage: string
  readonly line: string
}

export interface EnvironmentLog {
  /** Never fails: a log that cannot be written must not keep an environment from starting. */
  append(stage: string, line: string): void
  /** What was written, the last `tail` lines of it, as text for people; with `follow` what comes, until `signal` aborts. */
  read(options: { follow: boolean; tail?: number }, signal: AbortSignal): Promise<Readable>
  /** Resolves when everything appended has been handed to the file system. */
  flush(): Promise<void>
}

// Two files of half a megabyte each: progress of the latest few starts.
const FILE_BYTES = 512 * 1024
const LINE_CHARACTERS = 2_000
// One reader that does not keep up must not hold the others' memory.
const FOLLOW_BUFFER_BYTES = 1 << 20

export function createEnvironmentLog(
  folder: string,
  clock: Clock,
  onError: (error: unknown) => void,
): EnvironmentLog {
  const path = join(folder, 'log')
  const followers = new Set<(line: LogLine) => void>()
  let writing: Promise<void> = Promise.resolve()
  let sizeBytes: number | undefined

  const write = async (text: string): Promise<void> => {
    if (sizeBytes === undefined) {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      sizeBytes = await stat(path).then(
        found => found.size,
        () => 0,
      )
    }
    if (sizeBytes + text.length > FILE_BYTES) {
      await rename(path, `${path}.1`).catch(() => undefined) // There was none yet.
      sizeBytes = 0
    }
    await appendFile(path, text, { mode: 0o600 })
    sizeBytes += Buffer.byteLength(text)
  }

  return {
    append(stage, line) {
      const entry = {
        at: new Date(clock.now()).toISOString(),
        stage,
        line: plain(line).slice(0, LINE_CHARACTERS),
      }
      writing = writing
        .then(() => write(`${JSON.stringify(entry)}\n`))
        .catch(error => {
          sizeBytes = undefined
          onError(error)
        })
      for (const follower of followers) follower(entry)
    },
    async read({ follow, tail }, signal) {
      const missed: LogLine[] = []
      let deliver = (line: LogLine): void => {
        missed.push(line)
      }
      const follower = (line: LogLine) => deliver(line)
      // What is appended while the files are read comes after them, neither lost nor doubled.
      const written = writing
      if (follow) followers.add(follower)
      await written
      const lines = [...(await readLines(`${path}.1`)), ...(await readLines(path))]
      const fresh = new Set(missed.map(line => JSON.stringify(line)))
      const old = lines.filter(line => !fresh.has(JSON.stringify(line)))
      const out = new PassThrough()
      for (const line of tail === undefined ? old : old.slice(Math.max(0, old.length - tail)))
        out.write(format(line))
      if (!follow) return out.end()
      const end = () => {
        followers.delete(follower)
        out.end()
      }
      deliver = line => {
        if (out.writableLength > FOLLOW_BUFFER_BYTES) return end()
        out.write(format(line))
      }
      missed.forEach(deliver)
      if (signal.aborted) end()
      signal.addEventListener('abort', end, { once: true })
      out.once('close', () => {
        followers.delete(follower)
        signal.removeEventListener('abort', end)
      })
      return out
    },
    flush: () => writing,
  }
}

function format({ at, stage, line }: LogLine): string {
  return `${at} ${stage}: ${line}\n`
}

/** Without control characters: some of it comes from repositories and registries, and ends on people's terminals. */
function plain(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').trimEnd()
}

async function readLines(path: string): Promise<LogLine[]> {
  const lines: LogLine[] = []
  try {
    for await (const text of createInterface({ input: createReadStream(path, 'utf8') })) {
      try {
        lines.push(JSON.parse(text) as LogLine)
      } catch {
        // The last line of a process that was killed while writing it.
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return lines
}
