import type { CreatedEnvironment } from '../create-environment.ts'
import { summarizeStages } from '../wait/stages.ts'
import { formatDuration } from './duration.ts'
import type { Style } from './style.ts'
import { oneLine } from './text.ts'

/** What a person reads after a create: how it went, where the time went, how to go on. */
export function describeCreated({ environment, tookMs }: CreatedEnvironment, style: Style): string {
  const name = oneLine(environment.metadata.name)
  const { status, spec } = environment
  if (status.phase !== 'Running') {
    return `${style.bold(name)} is declared; follow it: bothy get environment ${name} --watch\n`
  }
  const stages = summarizeStages(status.stages)
  const where = status.git?.directory ?? spec.content.upload?.directory
  const lines = [
    `${style.bold(name)} is running after ${formatDuration(tookMs)}${stages === '' ? '' : ` (${stages})`}`,
    ...fallbackNote(environment),
    ...(where === undefined ? [] : [`  files:  ${oneLine(workspacePath(where))}`]),
    `  enter:  bothy shell ${name}`,
  ]
  return `${lines.join('\n')}\n`
}

// Another image than the one that was asked for: people should know.
function fallbackNote({ status }: CreatedEnvironment['environment']): string[] {
  return status.conditions
    .filter(each => each.type === 'ImageReady' && each.reason === 'Fallback')
    .map(each => `  note:   ${oneLine(each.message)}`)
}

function workspacePath(directory: string): string {
  return directory.startsWith('/') ? directory : `/workspaces/${directory}`
}
