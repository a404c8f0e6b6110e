import { z } from 'zod'
import type { FieldCause } from '../../lib/fault.ts'
import { NOTE_BYTES, noteBytes } from '../event-note.ts'
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
  note: z
    .string()
    .refine(text => noteBytes(text) <= NOTE_BYTES, `at most ${NOTE_BYTES} bytes`)
    .default('')
    .describe('What happened, for people.'),
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
    {
      name: 'Subobject',
      type: 'string',
      path: '.spec.regarding.fieldPath',
      description: 'Which part of it.',
      wide: true,
    },
    {
      name: 'Source',
      type: 'string',
      path: '.spec.reportingController',
      description: 'Who saw it.',
      wide: true,
    },
    { name: 'Message', type: 'string', path: '.spec.note', description: 'What happened.' },
    {
      name: 'First Seen',
      type: 'date',
      path: '.spec.firstTimestamp',
      description: 'Time since it happened first.',
      wide: true,
    },
    { name: 'Count', type: 'integer', path: '.spec.count', description: 'How often.', wide: true },
    { name: 'Name', type: 'string', path: '.metadata.name', description: 'Name of the event.', wide: true },
  ],
  immutable: ['spec.regarding'],
  check: checkEvent,
  setOnce: [],
  selectable: [
    'spec.regarding.apiVersion',
    'spec.regarding.kind',
    'spec.regarding.namespace',
    'spec.regarding.name',
    'spec.regarding.uid',
    'spec.regarding.resourceVersion',
    'spec.regarding.fieldPath',
    'spec.reason',
    'spec.type',
    'spec.reportingController',
  ],
  actions: [],
}

// Where Kubernetes has events about objects of the whole cluster.
const CLUSTER_WIDE = ['default', 'kube-system']

/** What Kubernetes asks of an event as a whole: stricter with those of the newer kind, which have an `eventTime`. */
function checkEvent(namespace: string, spec: EventSpec): FieldCause[] {
  const about = spec.regarding.namespace
  const matches = about === '' ? CLUSTER_WIDE.includes(namespace) : about === namespace
  const required = ['reportingController', 'reportingInstance', 'action', 'reason'] as const
  const missing = spec.eventTime === undefined ? [] : required.filter(field => spec[field] === '')
  return [
    ...(matches
      ? []
      : [
          {
            field: 'involvedObject.namespace',
            message: 'does not match event.namespace',
            reason: 'FieldValueInvalid',
          },
        ]),
    ...missing.map(field => ({ field, message: 'a value is required', reason: 'FieldValueRequired' })),
  ]
}
