// Access reviews: questions that are POSTed and come back with their answers. Nothing is stored.
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { KINDS } from '../../../../api/kinds/registry.ts'
import { nameSchema } from '../../../../api/names.ts'
import type { Resource } from '../../../../api/resource.ts'
import { Fault, isFault } from '../../../../lib/fault.ts'
import type { Access } from '../../../access.ts'
import { isObject, parseObjectBody } from '../body.ts'
import { REVIEWS, type ReviewKind, type ReviewResource } from '../discovery.ts'
import { rootOf } from '../served.ts'
import { Problems } from '../strict-parse.ts'
import {
  type Answer,
  judgePath,
  judgeResource,
  type ResourceAttributes,
  rulesOf,
  userInfoOf,
} from './judge.ts'
import { subjectsOf } from './verbs.ts'

const text = z.string().max(253).default('')
const accessSpec = z
  .object({
    resourceAttributes: z
      .object({
        namespace: text,
        verb: text,
        group: text,
        version: text,
        resource: text,
        subresource: text,
        name: text,
      })
      .optional(),
    nonResourceAttributes: z.object({ path: z.string().max(4096).default(''), verb: text }).optional(),
  })
  .refine(({ resourceAttributes, nonResourceAttributes }) => !resourceAttributes !== !nonResourceAttributes, {
    message: 'exactly one of resourceAttributes and nonResourceAttributes must be given',
  })
const rulesSpec = z.object({ namespace: z.string().min(1, 'a namespace is required').max(253) })

type AnswerTo = (access: Access, spec: unknown) => Promise<{ spec?: object; status: object }>

const ANSWERS: Readonly<Record<ReviewKind, AnswerTo>> = {
  SelfSubjectAccessReview: async (access, given) => {
    const spec = parseSpec('SelfSubjectAccessReview', accessSpec, given)
    return { spec: given as object, status: await judgeAccess(access, spec) }
  },
  SelfSubjectRulesReview: async ({ principal }, given) => {
    const spec = parseSpec('SelfSubjectRulesReview', rulesSpec, given)
    return { spec, status: rulesOf(principal, spec.namespace) }
  },
  SelfSubjectReview: async ({ principal }) => ({ status: { userInfo: userInfoOf(principal) } }),
}

export function registerReviews(
  accessOf: (request: FastifyRequest) => Access,
  serve: (url: string, post: (request: FastifyRequest) => Promise<object>) => void,
): void {
  for (const review of REVIEWS)
    serve(`${rootOf(review)}/${review.plural}`, async request => {
      const { value } = parseObjectBody(request.headers['content-type'], request.body as Buffer | undefined)
      const body = value as Record<string, unknown>
      checkType(body, review)
      const metadata = isObject(body['metadata']) ? body['metadata'] : {}
      const answer = await ANSWERS[review.kind](accessOf(request), body['spec'] ?? {})
      return { kind: review.kind, apiVersion: `${review.group}/${review.version}`, metadata, ...answer }
    })
}

async function judgeAccess(access: Access, spec: z.infer<typeof accessSpec>): Promise<Answer> {
  const { resourceAttributes: wanted, nonResourceAttributes: path } = spec
  if (wanted === undefined) return judgePath(path!)
  const { object, hidden } = await findNamed(access, wanted)
  if (hidden) return { allowed: false, reason: 'there is nothing of this name that concerns this runner' }
  return judgeResource(access.principal, wanted, object)
}

/**
 * The object that is asked about, read as the asker may read it. To runners, what they may not see and what is not there
 * look the same (`hidden`), here as everywhere.
 */
async function findNamed(
  access: Access,
  wanted: ResourceAttributes,
): Promise<{ object?: Resource; hidden?: boolean }> {
  const served = subjectsOf(wanted)[0]?.served
  if (wanted.name === '' || served === undefined || (wanted.verb === 'create' && wanted.subresource === ''))
    return {}
  const namespace = served.namespaced ? wanted.namespace : ''
  const isName = (KINDS[served.stored].name ?? nameSchema).safeParse(wanted.name).success
  try {
    if (isName) return { object: await access.get({ kind: served.stored, namespace, name: wanted.name }) }
  } catch (error) {
    if (!isFault(error) || (error.reason !== 'not_found' && error.reason !== 'forbidden')) throw error
  }
  return { hidden: access.principal.kind === 'runner' }
}

function checkType(body: Record<string, unknown>, { group, version, kind }: ReviewResource): void {
  const apiVersion = `${group}/${version}`
  if ((body['apiVersion'] ?? apiVersion) === apiVersion && (body['kind'] ?? kind) === kind) return
  const message = `the object does not fit the URL: it is no ${kind} of ${apiVersion}`
  throw new Fault('malformed', 'review-not-target', message, { hint: 'make body and URL say the same' })
}

/** Faults with `invalid` and all causes. */
function parseSpec<T>(kind: ReviewKind, schema: z.ZodType<T>, given: unknown): T {
  const problems = new Problems()
  const spec = problems.parse(schema, given, 'spec')
  if (spec !== undefined) return spec
  const said = problems.causes.map(({ field, message }) => `${field}: ${message}`).join('; ')
  const hint = `'kubectl explain' shows what a ${kind} consists of`
  throw new Fault('invalid', 'review-invalid', `${kind} is invalid: ${said}`, {
    causes: problems.causes,
    hint,
  })
}
