import type { Key, Resource } from '../../api/resource.ts'
import { Fault, isFault } from '../../lib/fault.ts'
import { randomSuffix } from '../../lib/ids.ts'
import type { Deps, Session } from '../deps.ts'
import { getResource } from '../get-resource.ts'
import { calledAs } from '../output/called-as.ts'
import { formatDuration } from '../output/duration.ts'
import { type Format, printResources } from '../output/formats.ts'
import { oneLine } from '../output/text.ts'
import { parseEnvironment } from '../targets.ts'
import { openDisplay } from '../wait/display.ts'
import { follow } from '../wait/follow.ts'
import { HOPELESS } from '../wait/outcome.ts'
import { failingCondition, faultOf } from '../wait/verdict.ts'
import type { SnapshotOptions } from './snapshot.ts'

type Snapshot = Resource<'Snapshot'>

export async function runCreateSnapshot(
  session: Session,
  deps: Deps,
  word: string,
  options: SnapshotOptions,
): Promise<void> {
  const sinceMs = deps.clock.now()
  const { name: environment } = (await getResource(session.store, parseEnvironment(word, session.namespace)))
    .metadata
  const declared = await declare(session, environment, options.name)
  const last = options.wait ? await settle(session, deps, declared) : declared
  if (options.output !== 'table' && options.output !== 'wide') {
    await printResources('Snapshot', [last], options.output, { ...deps, single: true, bareNames: true })
    return
  }
  const name = oneLine(last.metadata.name)
  const result = options.wait
    ? `is kept after ${formatDuration(deps.clock.now() - sinceMs)}${pause(last)}`
    : `is declared; follow it: bothy get snapshot ${name} --watch`
  deps.stdout.write(
    calledAs(`${name} ${result}\n  use:  bothy env create --snapshot ${name}\n`, deps.program),
  )
}

export async function runListSnapshots(session: Session, deps: Deps, output: Format): Promise<void> {
  const { items } = await session.store.list('Snapshot', { namespace: session.namespace })
  if (items.length === 0 && (output === 'table' || output === 'wide')) {
    const said = `There are no snapshots in ${session.namespace}. Take one: bothy snapshot create ENVIRONMENT\n`
    deps.stderr.write(calledAs(said, deps.program))
    return
  }
  const sorted = items.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  await printResources('Snapshot', sorted, output, { ...deps, bareNames: true })
}

function pause({ status }: Snapshot): string {
  return (status.pausedMs ?? 0) > 0 ? `; writes were held up for ${status.pausedMs} ms` : ''
}

/** A random name may be taken; another one will not be. */
async function declare(session: Session, environment: string, wanted: string | undefined): Promise<Snapshot> {
  const { namespace } = session
  for (let attempt = 1; ; attempt++) {
    const name = wanted ?? `${environment.slice(0, 50)}-${randomSuffix(5)}`
    try {
      // The scheduler sets the rest.
      return await session.store.create({
        kind: 'Snapshot',
        metadata: { name, namespace },
        spec: { environment },
      })
    } catch (error) {
      if (!isFault(error) || error.reason !== 'already_exists') throw error
      if (wanted === undefined && attempt < 10) continue
      const hint = `choose another --name, or delete it: bothy snapshot delete ${name}`
      throw new Fault('already_exists', 'name-taken', error.message, { cause: error, hint })
    }
  }
}

/** Waits until it can be used. Throws the fault of a failure. */
async function settle(session: Session, deps: Deps, declared: Snapshot): Promise<Snapshot> {
  const { name, namespace = '' } = declared.metadata
  const key: Key<'Snapshot'> = { kind: 'Snapshot', namespace, name }
  const display = openDisplay(deps)
  try {
    for await (const snapshot of follow(session.store, key, deps, declared)) {
      if (snapshot === undefined || snapshot.metadata.deletionTimestamp !== undefined)
        throw new Fault(
          'not_found',
          'snapshot-deleted',
          `wait for snapshot ${name}: somebody deleted it meanwhile`,
        )
      const { phase, conditions } = snapshot.status
      if (phase === 'Ready') return snapshot
      const failing = failingCondition(conditions)
      if (phase === 'Failed' || (failing !== undefined && HOPELESS.has(failing.reason)))
        throw faultOf(snapshot, 'create')
      display.show([], failing?.message ?? 'waiting for a place')
    }
  } catch (error) {
    if (!deps.signal.aborted) throw error
    const hint = `it goes on without you: bothy get snapshot ${name} --watch`
    throw new Fault('cancelled', 'wait-interrupted', `wait for snapshot ${name}: interrupted`, {
      cause: error,
      hint,
    })
  } finally {
    display.close()
  }
  throw new Fault('internal', 'wait-ended', `wait for snapshot ${name}: the watch ended early`)
}
