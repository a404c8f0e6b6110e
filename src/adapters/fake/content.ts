import type { ContentSource } from '../../core/content.ts'
import { Fault } from '../../lib/fault.ts'

/** What the content source does wrong; read at every call. */
export interface ContentMisbehaviour {
  /** Exit codes of the next jobs, one each; 0 when the list is empty. */
  exits?: number[]
  /** The job begins, and then nothing is heard any more. */
  hang?: boolean
}

/**
 * Content without git: the "repository" is a folder with one file that names where it came from, and counts how often
 * it was made. For the fake driver and its tests.
 */
export function createFakeContentSource(misbehave: ContentMisbehaviour = {}): ContentSource {
  return {
    async plan(content, files) {
      const { git, upload } = content
      if (git === undefined && upload === undefined) return undefined
      const directory = git?.directory ?? upload?.directory ?? 'repository'
      const script = [
        'set -e; echo begun >&2',
        misbehave.hang === true ? 'sleep 1000' : 'true',
        'mkdir -p "$1"; if [ -n "$3" ]; then cat "$3" > "$1/source"; else echo "$2" > "$1/source"; fi',
        'echo made >> "$1/made"; echo done >&2; exit "$4"',
      ].join('\n')
      const exit = misbehave.exits?.shift() ?? 0
      const target = '/run/content/bundle'
      const bundle = files.bundle === undefined ? '' : target
      return {
        argv: [
          '/bin/sh',
          '-c',
          script,
          'sh',
          `/workspaces/${directory}`,
          git?.url ?? '',
          bundle,
          String(exit),
        ],
        env: {},
        reach: [],
        files: files.bundle === undefined ? [] : [{ source: files.bundle, target }],
      }
    },
    parseResult: () => ({ directory: 'repository', commit: 'c0ffee'.padEnd(40, '0') }),
    explainFailure: (_content, code, stderr) =>
      code === 75
        ? new Fault('unavailable', 'repository-unreachable', 'clone: the host does not answer', {
            hint: 'try later',
          })
        : new Fault(
            'not_found',
            'ref-not-found',
            `clone: exit ${code}: ${stderr.trim().split('\n').at(-1)}`,
            {
              hint: 'name a branch that exists',
            },
          ),
  }
}
