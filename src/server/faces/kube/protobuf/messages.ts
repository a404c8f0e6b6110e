// Messages of Kubernetes that clients send as protobuf, by field number, as its published .proto files have them. Only
// what becomes JSON here: fields that are not listed are skipped.

/**
 * How a field becomes JSON. `time` and `microTime` become text, absent when zero; `json` holds a JSON document; a
 * `presentInt` means something when it is zero too.
 */
type Type = 'string' | 'bool' | 'int' | 'presentInt' | 'time' | 'microTime' | 'json' | 'stringMap' | Message

export interface Field {
  readonly name: string
  readonly type: Type
  readonly repeated: boolean
}

export interface Message {
  readonly fields: ReadonlyMap<number, Field>
}

type Row = readonly [number: number, name: string, type?: Type]

function message(single: readonly Row[], repeated: readonly Row[] = []): Message {
  const fieldsOf = (rows: readonly Row[], isRepeated: boolean) =>
    rows.map(([number, name, type = 'string']): [number, Field] => [
      number,
      { name, type, repeated: isRepeated },
    ])
  return { fields: new Map([...fieldsOf(single, false), ...fieldsOf(repeated, true)]) }
}

const managedFieldsEntry = message([
  [1, 'manager'],
  [2, 'operation'],
  [3, 'apiVersion'],
  [4, 'time', 'time'],
  [6, 'fieldsType'],
  [7, 'fieldsV1', 'json'],
  [8, 'subresource'],
])

const ownerReference = message([
  [1, 'kind'],
  [3, 'name'],
  [4, 'uid'],
  [5, 'apiVersion'],
  [6, 'controller', 'bool'],
  [7, 'blockOwnerDeletion', 'bool'],
])

const objectMeta = message(
  [
    [1, 'name'],
    [2, 'generateName'],
    [3, 'namespace'],
    [4, 'selfLink'],
    [5, 'uid'],
    [6, 'resourceVersion'],
    [7, 'generation', 'int'],
    [8, 'creationTimestamp', 'time'],
    [9, 'deletionTimestamp', 'time'],
    [10, 'deletionGracePeriodSeconds', 'int'],
    [11, 'labels', 'stringMap'],
    [12, 'annotations', 'stringMap'],
  ],
  [
    [13, 'ownerReferences', ownerReference],
    [14, 'finalizers'],
    [17, 'managedFields', managedFieldsEntry],
  ],
)

const namespace = message([
  [1, 'metadata', objectMeta],
  [2, 'spec', message([], [[1, 'finalizers']])],
  [3, 'status', message([[1, 'phase']])],
])

const reference = message([
  [1, 'kind'],
  [2, 'namespace'],
  [3, 'name'],
  [4, 'uid'],
  [5, 'apiVersion'],
  [6, 'resourceVersion'],
  [7, 'fieldPath'],
])
const source = message([
  [1, 'component'],
  [2, 'host'],
])
const series = message([
  [1, 'count', 'int'],
  [2, 'lastObservedTime', 'microTime'],
])

const coreEvent = message([
  [1, 'metadata', objectMeta],
  [2, 'involvedObject', reference],
  [3, 'reason'],
  [4, 'message'],
  [5, 'source', source],
  [6, 'firstTimestamp', 'time'],
  [7, 'lastTimestamp', 'time'],
  [8, 'count', 'int'],
  [9, 'type'],
  [10, 'eventTime', 'microTime'],
  [11, 'series', series],
  [12, 'action'],
  [13, 'related', reference],
  [14, 'reportingComponent'],
  [15, 'reportingInstance'],
])

const event = message([
  [1, 'metadata', objectMeta],
  [2, 'eventTime', 'microTime'],
  [3, 'series', series],
  [4, 'reportingController'],
  [5, 'reportingInstance'],
  [6, 'action'],
  [7, 'reason'],
  [8, 'regarding', reference],
  [9, 'related', reference],
  [10, 'note'],
  [11, 'type'],
  [12, 'deprecatedSource', source],
  [13, 'deprecatedFirstTimestamp', 'time'],
  [14, 'deprecatedLastTimestamp', 'time'],
  [15, 'deprecatedCount', 'int'],
])

const resourceAttributes = message([
  [1, 'namespace'],
  [2, 'verb'],
  [3, 'group'],
  [4, 'version'],
  [5, 'resource'],
  [6, 'subresource'],
  [7, 'name'],
])
const nonResourceAttributes = message([
  [1, 'path'],
  [2, 'verb'],
])

const accessReview = message([
  [1, 'metadata', objectMeta],
  [
    2,
    'spec',
    message([
      [1, 'resourceAttributes', resourceAttributes],
      [2, 'nonResourceAttributes', nonResourceAttributes],
    ]),
  ],
])
const rulesReview = message([
  [1, 'metadata', objectMeta],
  [2, 'spec', message([[1, 'namespace']])],
])

const preconditions = message([
  [1, 'uid'],
  [2, 'resourceVersion'],
])
const deleteOptions = message(
  [
    [1, 'gracePeriodSeconds', 'presentInt'],
    [2, 'preconditions', preconditions],
    [3, 'orphanDependents', 'bool'],
    [4, 'propagationPolicy'],
  ],
  [[5, 'dryRun']],
)

/** What encloses them all: `runtime.Unknown`. */
export const TYPE_META = message([
  [1, 'apiVersion'],
  [2, 'kind'],
])

const MESSAGES: Readonly<Record<string, Message>> = {
  'v1 Namespace': namespace,
  'v1 Event': coreEvent,
  'events.k8s.io/v1 Event': event,
  'authorization.k8s.io/v1 SelfSubjectAccessReview': accessReview,
  'authorization.k8s.io/v1 SelfSubjectRulesReview': rulesReview,
  'authentication.k8s.io/v1 SelfSubjectReview': message([[1, 'metadata', objectMeta]]),
}

/** Undefined for what is not known here. Every group calls its delete options its own. */
export function messageOf(apiVersion: string, kind: string): Message | undefined {
  if (kind === 'DeleteOptions') return deleteOptions
  const name = `${apiVersion} ${kind}`
  return Object.hasOwn(MESSAGES, name) ? MESSAGES[name] : undefined
}
