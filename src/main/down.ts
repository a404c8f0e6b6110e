// `bothy down`: stops this machine's environments, then everything else.
import type { Deps, DownOptions } from '../cli/deps.ts'
import type { Driver } from '../core/driver.ts'
import type { Store } from '../core/store.ts'
import type { Clock } from '../lib/clock.ts'
import { isFault } from '../lib/fault.ts'
import { createLog } from '../lib/log.ts'
import { loadIdentity } from '../runner/identity.ts'
import { askDown } from './control-socket.ts'
import { LOCAL_RUNNER, NAMESPACE } from './defaults.ts'
import { openLinuxDriver } from './host-runner.ts'
import { dataPaths } from './paths.ts'

const GRACE_MS = 10_000
// Longer than the grace that a stop gives, so that one slow environment does not keep the machine up for ever.
const STOP_MS = 60_000
const POLL_MS = 100

export async function down(deps: Deps, options: DownOptions): Promise<void> {
  const { control, runner } = dataPaths(options.dataDir)
  if (await askDown(control, { all: options.all }, line => void deps.stderr.write(`${line}\n`))) {
    deps.stdout.write('down\n')
    return
  }
  // Nobody is up; sandboxes may run all the same, since they outlive their runner.
  const identity = await loadIdentity(runner).catch((error: unknown) => {
    if (isFault(error) && error.reason === 'not_found') return undefined
    throw error
  })
  if (identity === undefined) {
    deps.stdout.write(`nothing is up at ${options.dataDir}\n`)
    return
  }
  const driver = openLinuxDriver(
    options.dataDir,
    identity.runner.uid,
    deps.clock,
    createLog({ level: 'warn' }),
  )
  await driver.prepare(options.signal)
  if (options.all) await driver.teardown()
  else await stopSandboxes(driver)
  await driver.close()
  deps.stdout.write('down\n')
}

/** Ends every sandbox on this host that is the driver's, without anybody's leave. */
export async function stopSandboxes(driver: Driver): Promise<void> {
  await Promise.all((await driver.list()).map(async id => (await driver.find(id))?.stop(GRACE_MS)))
}

/** Asks every environment of the local runner to stop, and waits until they have. Faults as the store does. */
export async function stopEnvironments(
  store: Store,
  clock: Clock,
  say: (line: string) => void,
): Promise<void> {
  const here = async () =>
    (await store.list('Environment', { namespace: NAMESPACE, fields: { 'spec.runner': LOCAL_RUNNER } })).items
  for (const environment of await here()) {
    if (environment.spec.desired === 'Stopped') continue
    say(`stopping ${environment.metadata.name}`)
    await store
      .update({ ...environment, spec: { ...environment.spec, desired: 'Stopped' } }, 'main')
      .catch((error: unknown) => {
        // Changed or deleted by somebody else at this very moment; what it came to is seen below.
        if (!isFault(error) || !['conflict', 'not_found'].includes(error.reason)) throw error
      })
  }
  const deadline = clock.now() + STOP_MS
  while (clock.now() < deadline) {
    const busy = (await here()).filter(
      ({ status }) => !['Stopped', 'Failed', 'Pending'].includes(status.phase),
    )
    if (busy.length === 0) return
    await clock.sleep(POLL_MS)
  }
  say('some environments did not stop in time; they are left as they are')
}
