// The first environment of a machine: what `bothy up` makes when it is asked to, and how to enter it.
import type { Resource } from '../api/resource.ts'
import { type ParsedSource, parseSource } from './content/source.ts'
import { type CreatedEnvironment, createEnvironment } from './create-environment.ts'
import type { Deps, Session } from './deps.ts'
import { calledAs } from './output/called-as.ts'
import { describeCreated } from './output/created.ts'
import { styleFor } from './output/style.ts'

type FirstDeps = Pick<Deps, 'clock' | 'signal' | 'stdout' | 'stderr' | 'env' | 'program'>

/**
 * Makes an environment from a GIT_URL or FOLDER (relative to `cwd`) and prints how to enter it; one that was made from
 * the same place before is used again. Faults as `createEnvironment`.
 */
export async function makeFirstEnvironment(
  session: Session,
  deps: FirstDeps,
  source: string,
  cwd: string,
): Promise<void> {
  const parsed = await parseSource(source, { empty: false, cwd })
  const name = nameFor(parsed)
  const key = { kind: 'Environment', namespace: session.namespace, name } as const
  const before = await session.store.find(key)
  const style = styleFor(deps.stdout, deps.env)
  if (before !== undefined && !isUnfinished(before)) {
    const said = `${style.bold(name)} exists (${before.status.phase}); ${nextStep(before)}\n`
    deps.stdout.write(calledAs(said, deps.program))
    return
  }
  const created: CreatedEnvironment = await createEnvironment(session, deps, {
    source: parsed,
    name,
    wait: true,
    // Interrupted before it was there, perhaps before its files were sent.
    ...(before === undefined ? {} : { unfinished: before }),
  })
  deps.stdout.write(calledAs(describeCreated(created, style), deps.program))
}

function isUnfinished({ spec, status, metadata }: Resource<'Environment'>): boolean {
  if (metadata.deletionTimestamp !== undefined || spec.desired !== 'Running') return false
  return status.phase === 'Pending' || status.phase === 'Creating'
}

function nextStep({ metadata, status, spec }: Resource<'Environment'>): string {
  if (status.phase === 'Failed') return `why: bothy explain environment/${metadata.name}`
  if (spec.desired === 'Stopped') return `start it: bothy env start ${metadata.name}`
  return `enter it: bothy shell ${metadata.name}`
}

/** Environments' names must not contain `--`; folders' may. */
function nameFor(source: ParsedSource): string {
  return source.kind === 'empty' ? 'first' : source.directory.replace(/-{2,}/g, '-')
}
