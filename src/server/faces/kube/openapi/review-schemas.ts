// What access reviews consist of, besides apiVersion, kind and metadata.
import type { ReviewKind } from '../discovery.ts'
import type { JsonSchema } from '../served.ts'
import { text, texts, yesNo } from './meta-schemas.ts'

type Properties = Readonly<Record<string, JsonSchema>>

const object = (description: string, properties: Properties): JsonSchema => ({
  type: 'object',
  description,
  properties,
})
const list = (description: string, properties: Properties): JsonSchema => ({
  type: 'array',
  description,
  'x-kubernetes-list-type': 'atomic',
  items: object('One of them.', properties),
})

export const REVIEW_PROPERTIES: Readonly<Record<ReviewKind, Properties>> = {
  SelfSubjectAccessReview: {
    spec: object('The question.', {
      resourceAttributes: object('About a resource.', {
        namespace: text('The namespace; empty: all of them.'),
        verb: text('What would be done; * is everything.'),
        group: text('Group of the resource; * is every one.'),
        version: text('Version of the resource; * is every one.'),
        resource: text('The resource, in the plural; * is every one.'),
        subresource: text('Part of the resource, or an action.'),
        name: text('One object; empty: any.'),
      }),
      nonResourceAttributes: object('About a path.', {
        path: text('The path; * is every one.'),
        verb: text('Method of HTTP, in lower case; * is every one.'),
      }),
    }),
    status: object('The answer.', {
      allowed: yesNo('May they?'),
      denied: yesNo('Is it certain that they may not?'),
      reason: text('Why.'),
      evaluationError: text('What kept the server from a full answer.'),
    }),
  },
  SelfSubjectRulesReview: {
    spec: object('The question.', { namespace: text('Where.') }),
    status: object('The answer.', {
      resourceRules: list('What may be done with resources.', {
        verbs: texts('Verbs.'),
        apiGroups: texts('Groups.'),
        resources: texts('Resources, in the plural.'),
        resourceNames: texts('Names; empty: all.'),
      }),
      nonResourceRules: list('What may be done with other paths.', {
        verbs: texts('Methods of HTTP, in lower case.'),
        nonResourceURLs: texts('Paths; * at the end stands for all that begin so.'),
      }),
      incomplete: yesNo('Is something missing?'),
      evaluationError: text('What kept the server from a full answer.'),
    }),
  },
  SelfSubjectReview: {
    status: object('The answer.', {
      userInfo: object('Who asks.', {
        username: text('The name.'),
        uid: text('The uid, of those who have one.'),
        groups: texts('Role, and what else they belong to.'),
        extra: { type: 'object', description: 'Not used.', additionalProperties: texts('Values.') },
      }),
    }),
  },
}
