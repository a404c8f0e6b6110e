import type { EnvironmentSpec } from '../api/kinds/environment.ts'
import type { DiskJob } from './driver.ts'

type Content = EnvironmentSpec['content']

/** Where the repository ended up; read back from the job's output. */
export interface ClonedContent {
  readonly directory: string
  readonly commit: string
  readonly branch?: string
}

/** Plans how content gets onto a disk and understands how that ended. */
export interface ContentSource {
  /**
   * The job that fills /workspaces, or undefined when nothing is to be done (`empty`). Resolves the host and checks it
   * against the runner's `git.allow`. Faults: `forbidden` (not allowed), `unavailable` (name does not resolve).
   */
  plan(content: Content, files: ContentFiles): Promise<DiskJob | undefined>
  /** From the job's standard output. */
  parseResult(stdout: string): ClonedContent
  /** From exit code and standard error: a fault with a reason, a code and a hint (`ref-not-found`, `repository-private` …). */
  explainFailure(content: Content, code: number, stderr: string): Error
}

export interface ContentFiles {
  /** Host path of the uploaded bundle, when the content is `upload`. */
  readonly bundle?: string
}
