// start, stop, delete: ask for all of them first, then wait for each.
import type { Key, Resource } from '../../api/resource.ts'
import { objectPath } from '../../client/paths.ts'
import type { Deps, Session } from '../deps.ts'
import { formatDuration } from '../output/duration.ts'
import { raise } from '../output/fault.ts'
import { type Format, printResources } from '../output/formats.ts'
import { oneLine } from '../output/text.ts'
import { parseEnvironment } from '../targets.ts'
import { awaitOutcome } from '../wait/await-outcome.ts'
import type { Wanted } from '../wait/outcome.ts'
import { summarizeStages } from '../wait/stages.ts'

export type Change = 'start' | 'stop' | 'delete'

const WANTED = { start: 'Running', stop: 'Stopped', delete: 'Deleted' } as const satisfies Record<
  Change,
  Wanted
>
const PAST = { start: 'started', stop: 'stopped', delete: 'deleted' } as const
const RESULT = { Running: 'is running', Stopped: 'is stopped', Deleted: 'is deleted' } as const

export interface ChangeOptions {
  readonly wait: boolean
  readonly output: Format
}

export async function runChange(
  session: Session,
  deps: Deps,
  change: Change,
  names: readonly string[],
  options: ChangeOptions,
): Promise<void> {
  const sinceMs = deps.clock.now()
  const keys = names.map(name => parseEnvironment(name, session.namespace))
  const asked: [key: Key<'Environment'>, known: Resource<'Environment'>][] = []
  // One that cannot be changed keeps none of the others from it, nor from being told of.
  const failures: unknown[] = []
  for (const key of keys) {
    await ask(session, change, key).then(
      known => void asked.push([key, known]),
      (error: unknown) => void failures.push(error),
    )
  }
  for (const [key, known] of asked) {
    const last = options.wait ? await settle(session, deps, change, key, known) : known
    // What was so already took no time: the stages in its status tell of another start.
    const stages =
      change === 'start' && last !== undefined && last !== known ? summarizeStages(last.status.stages) : ''
    const took = formatDuration(deps.clock.now() - sinceMs)
    const result = options.wait ? `${RESULT[WANTED[change]]} after ${took}` : `will be ${PAST[change]}`
    await print(deps, last ?? known, options, `${result}${stages === '' ? '' : ` (${stages})`}`)
  }
  raise(failures, deps)
}

/** Asks, and answers with the state that the server made of it. */
async function ask(
  session: Session,
  change: Change,
  key: Key<'Environment'>,
): Promise<Resource<'Environment'>> {
  if (change === 'delete') return session.store.remove(key)
  return session.request<Resource<'Environment'>>('PATCH', objectPath(key), {
    contentType: 'application/merge-patch+json',
    body: { spec: { desired: WANTED[change] } },
  })
}

async function settle(
  session: Session,
  deps: Deps,
  change: Change,
  key: Key<'Environment'>,
  known: Resource<'Environment'>,
): Promise<Resource<'Environment'> | undefined> {
  // Without finalizers it is gone already, and no watch will ever say so.
  if (change === 'delete' && known.metadata.deletionTimestamp === undefined) return undefined
  return awaitOutcome({
    session,
    deps,
    key,
    wanted: WANTED[change],
    attempted: change,
    known,
    interrupted: () => `it goes on without you: bothy get environment ${key.name} --watch`,
  })
}

async function print(
  deps: Deps,
  environment: Resource<'Environment'>,
  { output }: ChangeOptions,
  result: string,
): Promise<void> {
  if (output === 'table' || output === 'wide') {
    deps.stdout.write(`${oneLine(environment.metadata.name)} ${result}\n`)
    return
  }
  await printResources('Environment', [environment], output, { ...deps, single: true, bareNames: true })
}
