import { readFileSync } from 'node:fs'
import { REASONS } from '../../src/lib/fault.ts'
import { filesBelow } from '../check/source-files.ts'
import { table } from './markdown.ts'

interface Raised {
  readonly code: string
  readonly reason: string
  readonly file: string
}

/** Every error that the sources raise on purpose, found by reading them: a new one is visible in review. */
export function errorsPage(): string {
  const raised = filesBelow('src', /(?<!\.(test|contract))\.ts$/).flatMap(findFaults)
  const byCode = new Map<string, Raised[]>()
  for (const each of raised) byCode.set(each.code, [...(byCode.get(each.code) ?? []), each])
  const rows = [...byCode.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, all]) => [
      code,
      distinct(all.map(each => each.reason)),
      distinct(all.map(each => each.file)),
    ])
  const reasons = Object.entries(REASONS).map(([reason, row]) => [
    reason,
    String(row.status),
    String(row.exit),
    row.retry,
    row.kube,
  ])
  return [
    '# Errors',
    'An error has a *reason* (a closed set: decides status, exit code and whether to try again), a *code* (says which',
    'place raised it; search for it here), a message that says what was attempted on what, and usually a hint.',
    '',
    '## Reasons',
    '',
    table(['reason', 'HTTP status', 'exit code', 'retry', 'Kubernetes reason'], reasons),
    '',
    '## Codes',
    '',
    table(['code', 'reason', 'raised in'], rows),
  ].join('\n')
}

/** The reason may be computed; the code is always a literal, or it could not be searched for. */
function findFaults(file: string): Raised[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/new Fault\(\s*(?:'([a-z_]+)'|[^,']+),\s*'([a-z0-9-]+)'/g)].map(match => ({
    code: match[2] ?? '',
    reason: match[1] ?? 'varies',
    file,
  }))
}

function distinct(words: readonly string[]): string {
  return [...new Set(words)].join(', ')
}
