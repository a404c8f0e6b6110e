// A runner with the fake driver, enrolled at a real server through the command line, with the controllers that bind
// environments to it. What runs in its environments are plain child processes.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFakeDriver, type Misbehaviour } from '../../src/adapters/fake/driver.ts'
import { createFakeImageStore } from '../../src/adapters/fake/images.ts'
import { createContentSource } from '../../src/adapters/git/content-source.ts'
import { createClient } from '../../src/client/create-client.ts'
import { runnerHealth } from '../../src/controllers/runner-health/reconcile.ts'
import { scheduler } from '../../src/controllers/scheduler/reconcile.ts'
import { createController } from '../../src/core/controller.ts'
import { createEvents } from '../../src/core/events.ts'
import { createGateway } from '../../src/gateway/create-gateway.ts'
import { runRelay } from '../../src/gateway/run-relay.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Fault } from '../../src/lib/fault.ts'
import { silentLog } from '../../src/lib/log.ts'
import { createCredential } from '../../src/runner/credential.ts'
import { enrollRunner } from '../../src/runner/enroll.ts'
import { runRunner } from '../../src/runner/run-runner.ts'
import type { ServerFixture } from './server.ts'

export interface RunnerFixture {
  /** What its driver does wrong, from now on. */
  readonly misbehave: Misbehaviour
  close(): Promise<void>
}

/** The class `small`, whose image the fake driver does not need, and a runner that is ready as soon as it is. `token`: of its enrolment. */
export async function startRunner(server: ServerFixture, token: string): Promise<RunnerFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'bothy-runner-'))
  const stop = new AbortController()
  const { signal } = stop
  const clock = systemClock
  const log = silentLog
  const { store, leases } = server.database
  await store.create({
    kind: 'EnvironmentClass',
    metadata: { name: 'small', namespace: 'default' },
    spec: { image: 'oci:tiny', memory: '1Gi', disk: '1Gi', pids: 512 },
  })
  const identity = await enrollRunner({ token, dir: join(dir, 'identity') })
  const credential = createCredential(identity)
  const { ca } = identity
  const client = createClient({ server: identity.server, ca, credential })
  const misbehave: Misbehaviour = {}
  const events = createEvents({ store, clock, log, instance: 'test' })
  const driver = createFakeDriver({ dir: join(dir, 'sandboxes'), clock, misbehave })
  const running = Promise.all([
    createController(scheduler({ events: events.recorder('scheduler') }), { store, clock, log }).run(signal),
    createController(runnerHealth({ leases, clock, events: events.recorder('runner-health') }), {
      store,
      clock,
      log,
    }).run(signal),
    runRunner({
      identity,
      client,
      driver,
      images: createFakeImageStore({ clock, misbehave: { fail: noSuchImage } }),
      content: createContentSource({ allow: ['127.0.0.1/32'] }),
      gateway: {
        listen: { host: '127.0.0.1', port: 0 },
        open: (backend, keys) => createGateway({ runnerUid: identity.runner.uid, keys, backend, log, clock }),
        relay: (gateway, aborted) =>
          runRelay({
            server: identity.server,
            ca,
            credential,
            gateway: gateway as ReturnType<typeof createGateway>,
            log,
            clock,
            signal: aborted,
          }),
      },
      version: '0.0.0-test',
      clock,
      log,
      signal,
    }),
  ])
  running.catch(() => undefined) // Thrown to whoever closes it.
  return {
    misbehave,
    async close() {
      stop.abort()
      await running
      await events.close(1_000)
      for (const id of await driver.list()) await driver.destroy(id)
      await driver.close()
      await client.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Every image exists, except one. */
function noSuchImage(reference: string): Fault | undefined {
  if (reference !== 'oci:missing') return undefined
  return new Fault('not_found', 'image-not-found', `fetch image ${reference}: there is none`, {
    hint: 'check the name',
  })
}
