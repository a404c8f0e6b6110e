// Entering an environment, the server's half: decide, and sign a token that one runner accepts for one entrance.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { findCondition } from '../api/conditions.ts'
import { ENTRANCES, type EntranceGrant, type EntranceKind, entrancePath } from '../api/entrance.ts'
import { describeKey, GROUP, keyOf as keyOfObject, type Resource, VERSION } from '../api/resource.ts'
import type { Store } from '../core/store.ts'
import { Fault } from '../lib/fault.ts'
import type { Access } from './access.ts'
import { keyOf, serve } from './faces/kube/routes.ts'
import type { Pki } from './pki/load-pki.ts'
import { describePrincipal } from './principal.ts'

type Environment = Resource<'Environment'>

export interface EntranceDeps {
  readonly store: Store
  readonly pki: Pki
  readonly accessOf: (request: FastifyRequest) => Access
  readonly url: () => string
}

export function registerEntrances(app: FastifyInstance, deps: EntranceDeps): void {
  for (const kind of ENTRANCES) {
    const url = `/apis/${GROUP}/${VERSION}/namespaces/:namespace/environments/:name/${kind}`
    serve(app, url, {
      POST: async (request, reply) => {
        const access = deps.accessOf(request)
        const admitted = await access.admit(keyOf(request, 'Environment'), 'enter')
        const environment = await bound(deps.store, admitted)
        return reply.code(201).send(await grant(deps, environment, kind, describePrincipal(access.principal)))
      },
    })
  }
}

// The scheduler takes milliseconds; who has just created an environment need not ask twice.
const BINDING_MS = 5_000

/** The environment once it has a runner, or as it is when that takes too long. */
async function bound(store: Store, environment: Environment): Promise<Environment> {
  const { metadata, spec } = environment
  if (spec.runner !== undefined || metadata.deletionTimestamp !== undefined) return environment
  const options = {
    namespace: metadata.namespace ?? '',
    fields: { 'metadata.name': metadata.name },
    from: metadata.resourceVersion,
  }
  let latest = environment
  for await (const { type, object } of store.watch('Environment', options, AbortSignal.timeout(BINDING_MS))) {
    // Another one of the same name is not the one that was admitted.
    if (type === 'gone' || object.metadata.uid !== metadata.uid) break
    latest = object
    if (object.spec.runner !== undefined) break
  }
  return latest
}

async function grant(
  { store, pki, url }: EntranceDeps,
  environment: Environment,
  kind: EntranceKind,
  subject: string,
): Promise<EntranceGrant> {
  const runner = await findRunner(store, environment, kind)
  const { uid } = environment.metadata
  const token = await pki.signEntrance({
    aud: `runner:${runner.metadata.uid}`,
    sub: subject,
    env: uid,
    act: kind,
  })
  const path = entrancePath(kind, uid)
  const direct = runner.status.gateway?.url
  const relay = `${url()}/relay/${runner.metadata.uid}${path}`
  return {
    urls: [...(direct === undefined ? [] : [`${direct.replace(/\/+$/, '')}${path}`]), relay],
    token,
    ca: pki.ca,
  }
}

/** The runner that can let somebody in now. Faults with `unavailable` and says what is in the way. */
async function findRunner(
  store: Store,
  environment: Environment,
  kind: EntranceKind,
): Promise<Resource<'Runner'>> {
  const { spec, status, metadata } = environment
  const what = `enter ${describeKey(keyOfObject(environment))} (${kind})`
  const refuse = (code: string, why: string, hint: string) =>
    new Fault('unavailable', code, `${what}: ${why}`, { hint })
  if (metadata.deletionTimestamp !== undefined)
    throw refuse('environment-deleting', 'it is being deleted', 'create a new one')
  if (spec.runner === undefined) {
    const why = findCondition(status.conditions, 'Scheduled')?.message ?? 'no runner has been chosen yet'
    throw refuse('environment-unbound', why, "wait a moment; 'bothy explain' says what it waits for")
  }
  // Logs and content are of use before it runs and after it failed: the runner decides what it has. It also holds an
  // exec back until an environment that is on its way has come up: entering at once after creating costs no polling.
  if (kind === 'exec' && !(status.phase === 'Running' || isOnItsWay(environment))) {
    const reason = findCondition(status.conditions, 'Ready')?.message
    const why = `it is ${status.phase}${reason === undefined ? '' : `: ${reason}`}`
    throw refuse('environment-not-running', why, hintFor(status.phase, metadata.name))
  }
  const runner = await store.find({
    kind: 'Runner',
    namespace: metadata.namespace ?? '',
    name: spec.runner,
  })
  if (runner !== undefined) return runner
  throw refuse(
    'runner-gone',
    `its runner '${spec.runner}' no longer exists`,
    'bring the runner back, or delete the environment',
  )
}

function isOnItsWay({ spec, status }: Environment): boolean {
  return spec.desired === 'Running' && ['Pending', 'Creating', 'Starting'].includes(status.phase)
}

function hintFor(phase: string, name: string): string {
  switch (phase) {
    case 'Stopped':
      return `start it: bothy env start ${name}`
    case 'Stopping':
      return `wait until it has stopped, then start it: bothy env start ${name}`
    case 'Failed':
      return `bothy explain environment/${name} says why; correct that and start it again, or delete it`
    default:
      return 'wait until it runs'
  }
}
