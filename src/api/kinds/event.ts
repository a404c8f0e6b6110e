import { z } from 'zod'
import { subdomainSchema } from '../names.ts'
import type { KindDefinition } from './kind.ts'
import { KIND_NAMES } from './kind-names.ts'

/** Another object, as an event names it. All of it may be absent: clients of Kubernetes leave out what they please. */
const objectReference = z.strictObject({
  apiVersion: z.string().max(317).default(''),
  kind: z.string().max(63).default(''),
  namespace: z.string().max(63).default(''),
  name: z.string().max(253).default(''),
  uid: z.string().max(64).default(''),
  resourceVersion: z.string().max(32).optional(),
  fieldPath: z.string().max(256).optional(),
})

const time = z.iso.datetime({ offset: true })

/** What is stored; on the wire these are fields of the event itself, see `event-wire.ts`. */
export const eventSpecSchema = z.strictObject({
  regarding: objectReference.describe('What it is about.'),
  related: objectReference.optional().describe('A second object that it concerns.'),
  type: z.enum(['Normal', 'Warning']).default('Normal'),
  reason: z.string().max(128).default('').describe('Why, as one word in CamelCase for programs.'),
  note: z.string().max(1024).default('').describe('What happened, for people.'),
  action: z.string().max(128).default('').describe('What was being done.'),
  reportingController: z.string().max(128).default('').describe('Which component saw it.'),
  reportingInstance: z.string().max(128).default('').describe('Which one of them.'),
  eventTime: time.optional(),
  firstTimestamp: time.optional(),
  lastTimestamp: time.optional(),
  count: z.int().min(1).default(1).describe('How often it has happened.'),
})

export type EventSpec = z.infer<typeof eventSpecSchema>
export type EventStatus = Readonly<Record<string, never>>

export const event: KindDefinition<EventSpec, EventStatus> = {
  ...KIND_NAMES.Event,
  name: subdomainSchema,
  description: 'Something that happened to an object, told by whoever saw it. Kept for a while.',
  spec: eventSpecSchema,
  status: z.strictObject({}),
  emptyStatus: {},
  nameless: true,
  untracked: true,
  columns: [
    { name: 'Last Seen', type: 'date', path: '.spec.lastTimestamp', description: 'Time since it happened.' },
    { name: 'Type', type: 'string', path: '.spec.type', description: 'Normal or Warning.' },
    { name: 'Reason', type: 'string', path: '.spec.reason', description: 'Why, in one word.' },
    { name: 'Object', type: 'reference', path: '.spec.regarding', description: 'What it is about.' },
    { name: 'Message', type: 'string', path: '.spec.note', description: 'What happened.' },
    {
      name: 'Source',
      type: 'string',
      path: '.spec.reportingController',
      description: 'Who saw it.',
      wide: true,
    },
    { name: 'Count', type: 'integer', path: '.spec.count', description: 'How often.', wide: true },
    { name: 'Name', type: 'string', path: '.metadata.name', description: 'Name of the event.', wide: true },
  ],
  immutable: ['spec.regarding'],
  setOnce: [],
  selectable: [
    'spec.regarding.apiVersion',
    'spec.regarding.kind',
    'spec.regarding.namespace',
    'spec.regarding.name',
    'spec.regarding.uid',
    'spec.reason',
    'spec.type',
    'spec.reportingController',
  ],
  actions: [],
}
