// What environments use: told by runners, each of its own host, and read as a subresource or as one list. An environment's
// figures are taken from the report of the runner that it is bound to, so that none can speak for another's.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { EnvironmentPhase } from '../api/kinds/environment.ts'
import { describeKey, GROUP, type Resource, VERSION } from '../api/resource.ts'
import {
  type EnvironmentUsageList,
  type EnvironmentUsageObject,
  type RunnerUsageObject,
  type UsageReceipt,
  usageReportSchema,
} from '../api/usage.ts'
import type { Store } from '../core/store.ts'
import type { ToldUsage, UsageStore } from '../core/usage.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import type { Access } from './access.ts'
import { parseObjectBody } from './faces/kube/body.ts'
import { keyOf, serve } from './faces/kube/routes.ts'
import { Problems } from './faces/kube/strict-parse.ts'
import { runnerOf } from './http.ts'

/**
 * 200 runners that tell every 10 s cost the database 20 small writes a second. Whoever looks sees figures that are at most
 * this old, and for as long as they go on, new ones every 2 s.
 */
const UNWATCHED_MS: Millis = 10_000
const WATCHED_MS: Millis = 2_000
/** Somebody looks who looked so lately: longer than it takes to look again, and to be written down. */
const LOOKING_MS: Millis = 15_000
/** Older figures say nothing of now: their runner is not there. */
const STALE_MS: Millis = 30_000
/** 1 KiB for each of the 4096 environments that fit into a report. */
const BODY_LIMIT_BYTES = 4 << 20

const MEASURED: readonly EnvironmentPhase[] = ['Starting', 'Running', 'Stopping']

const API_VERSION = `${GROUP}/${VERSION}`

export interface UsageDeps {
  readonly store: Store
  readonly usage: UsageStore
  readonly clock: Clock
  readonly accessOf: (request: FastifyRequest) => Access
}

export function registerUsage(app: FastifyInstance, deps: UsageDeps): void {
  app.post('/runner/usage', { bodyLimit: BODY_LIMIT_BYTES }, async (request): Promise<UsageReceipt> => {
    const { uid } = runnerOf(request)
    const now = deps.clock.now()
    const watchedAtMs = await deps.usage.put(uid, parseReport(request), now)
    return { nextMs: now - watchedAtMs < LOOKING_MS ? WATCHED_MS : UNWATCHED_MS }
  })

  const root = `/apis/${GROUP}/${VERSION}`
  serve(app, `${root}/namespaces/:namespace/environments/:name/usage`, {
    GET: async request => usageOf(deps, await deps.accessOf(request).get(keyOf(request, 'Environment'))),
  })
  const list = async (request: FastifyRequest) => {
    const { namespace } = request.params as { namespace?: string }
    const options = namespace === undefined ? {} : { namespace }
    const { items } = await deps.accessOf(request).list('Environment', options)
    return listOf(deps, items)
  }
  for (const path of ['/environmentusages', '/namespaces/:namespace/environmentusages'])
    serve(app, root + path, { GET: list })
}

function parseReport(request: FastifyRequest) {
  const { value } = parseObjectBody(request.headers['content-type'], request.body as Buffer | undefined)
  const problems = new Problems()
  const report = problems.parse(usageReportSchema, value, '')
  if (report !== undefined) return report
  const said = problems.causes.map(cause => `${cause.field}: ${cause.message}`).join('; ')
  const options = { causes: problems.causes, hint: 'runner and server may be of different versions' }
  throw new Fault('invalid', 'usage-invalid', `read the runner's report: ${said.slice(0, 1000)}`, options)
}

async function usageOf(
  deps: UsageDeps,
  environment: Resource<'Environment'>,
): Promise<EnvironmentUsageObject> {
  const { items } = await listOf(deps, [environment])
  if (items[0] !== undefined) return items[0]
  const { namespace = '', name } = environment.metadata
  const { phase } = environment.status
  const what = describeKey({ kind: 'Environment', namespace, name })
  const hint =
    phase === 'Running'
      ? 'its runner tells within seconds; `bothy explain` says whether it can be reached'
      : 'it is measured while it runs'
  throw new Fault('not_found', 'usage-unknown', `read the usage of ${what}: none is known; it is ${phase}`, {
    hint,
  })
}

type Runner = Resource<'Runner'>

async function listOf(
  { store, usage, clock }: UsageDeps,
  environments: readonly Resource<'Environment'>[],
): Promise<EnvironmentUsageList> {
  // What has ended since its runner told of it uses nothing.
  const bound = environments.filter(
    ({ spec, status }) => spec.runner !== undefined && MEASURED.includes(status.phase),
  )
  const namespaces = [...new Set(bound.map(each => each.metadata.namespace ?? ''))]
  const listings = await Promise.all(namespaces.map(namespace => store.list('Runner', { namespace })))
  const wanted = new Set(bound.map(runnerNameOf))
  const runners = listings.flatMap(({ items }) => items).filter(each => wanted.has(fullName(each)))
  const now = clock.now()
  const told = await usage.find(
    runners.map(each => each.metadata.uid),
    now,
    now - STALE_MS,
  )
  const known = runners.flatMap(runner => {
    const report = told.get(runner.metadata.uid)
    return report === undefined ? [] : [{ runner, told: report }]
  })
  const byRunner = new Map(known.map(each => [fullName(each.runner), each.told]))
  const measured = new Map(
    [...byRunner].map(([runner, { report }]) => [
      runner,
      new Map(report.environments.map(each => [each.uid, each.usage])),
    ]),
  )
  return {
    apiVersion: API_VERSION,
    kind: 'EnvironmentUsageList',
    metadata: {},
    items: bound.flatMap(environment => {
      const runner = runnerNameOf(environment)
      const figures = measured.get(runner)?.get(environment.metadata.uid)
      if (figures === undefined) return []
      return [
        {
          apiVersion: API_VERSION,
          kind: 'EnvironmentUsage' as const,
          metadata: namesOf(environment),
          ...measuredAt(byRunner.get(runner)!),
          runner: environment.spec.runner!,
          usage: figures,
        },
      ]
    }),
    runners: known.map(each => hostOf(each.runner, each.told)),
  }
}

function hostOf(runner: Runner, told: ToldUsage): RunnerUsageObject {
  return { metadata: namesOf(runner), ...measuredAt(told), usage: told.report.host }
}

function measuredAt({ toldAtMs, report }: ToldUsage) {
  return { timestamp: new Date(toldAtMs).toISOString(), windowMs: report.windowMs }
}

function namesOf({ metadata: { name, namespace = '', uid } }: Resource) {
  return { name, namespace, uid }
}

function fullName({ metadata }: Runner): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}

function runnerNameOf({ metadata, spec }: Resource<'Environment'>): string {
  return `${metadata.namespace ?? ''}/${spec.runner ?? ''}`
}
