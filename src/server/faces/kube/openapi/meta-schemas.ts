// What every API of this style has in common, under the names by which clients look for it.
import type { JsonSchema } from '../served.ts'

/** Prefix of the names. */
export const META = 'io.k8s.apimachinery.pkg.apis.meta.v1'

/** A reference in OpenAPI v3's words; beside a description it has to hide in `allOf`. */
export function ref(name: string, description?: string): JsonSchema {
  const $ref = `#/components/schemas/${name}`
  return description === undefined ? { $ref } : { description, allOf: [{ $ref }] }
}

export const text = (description: string): JsonSchema => ({ type: 'string', description })
export const int64 = (description: string): JsonSchema => ({ type: 'integer', format: 'int64', description })
export const yesNo = (description: string): JsonSchema => ({ type: 'boolean', description })
export const texts = (description: string, listType: 'atomic' | 'set' = 'atomic'): JsonSchema => ({
  type: 'array',
  items: { type: 'string' },
  'x-kubernetes-list-type': listType,
  description,
})
const time = (description: string) => ref(`${META}.Time`, description)
const textMap = (description: string): JsonSchema => ({
  type: 'object',
  additionalProperties: { type: 'string' },
  description,
})

const objectMeta: JsonSchema = {
  type: 'object',
  description: 'What all objects have in common.',
  properties: {
    name: text('Name, unique among the objects of its kind in the namespace. Never changes.'),
    generateName: text('Prefix of a name that the server completes, when no name is given.'),
    namespace: text('The organization that it belongs to.'),
    selfLink: text('Not used.'),
    uid: text('Unique for ever. Set by the server.'),
    resourceVersion: text(
      'Changes with every change of the object. A replacement names the one it is meant for.',
    ),
    generation: int64('Moves when the spec does. Set by the server.'),
    creationTimestamp: time('When it was created. Set by the server.'),
    deletionTimestamp: time('When deletion was asked for. Set by the server.'),
    deletionGracePeriodSeconds: int64('Not used.'),
    labels: textMap('What it can be selected by.'),
    annotations: textMap('Notes of people and tools.'),
    finalizers: {
      ...texts('Who has to clean up before it goes.', 'set'),
      'x-kubernetes-patch-strategy': 'merge',
    },
    ownerReferences: {
      type: 'array',
      items: ref(`${META}.OwnerReference`),
      description: 'Objects without which it goes too.',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['uid'],
      'x-kubernetes-patch-strategy': 'merge',
      'x-kubernetes-patch-merge-key': 'uid',
    },
    managedFields: {
      type: 'array',
      items: ref(`${META}.ManagedFieldsEntry`),
      description: 'Who set which field. Kept by the server.',
      'x-kubernetes-list-type': 'atomic',
    },
  },
}

const ownerReference: JsonSchema = {
  type: 'object',
  description: 'An object that owns this one.',
  required: ['apiVersion', 'kind', 'name', 'uid'],
  properties: {
    apiVersion: text('apiVersion of the owner.'),
    kind: text('Kind of the owner.'),
    name: text('Name of the owner.'),
    uid: text('Uid of the owner.'),
    controller: yesNo('Is it the one that manages this object?'),
    blockOwnerDeletion: yesNo('Does the owner wait for this object to go?'),
  },
  'x-kubernetes-map-type': 'atomic',
}

const managedFieldsEntry: JsonSchema = {
  type: 'object',
  description: 'The fields that one manager set by one way of writing.',
  properties: {
    manager: text('Who.'),
    operation: text('Apply or Update.'),
    apiVersion: text('Version of the form that the fields are named in.'),
    time: time('When last.'),
    fieldsType: text('Always FieldsV1.'),
    fieldsV1: ref(`${META}.FieldsV1`, 'The fields.'),
    subresource: text('The subresource that was written, if one was.'),
  },
}

const listMeta: JsonSchema = {
  type: 'object',
  description: 'What all lists have in common.',
  properties: {
    selfLink: text('Not used.'),
    resourceVersion: text('The list holds every change up to here.'),
    continue: text('Token for the next page.'),
    remainingItemCount: int64('How many follow on later pages.'),
  },
}

const statusDetails: JsonSchema = {
  type: 'object',
  description: 'What exactly went wrong.',
  properties: {
    name: text('The object.'),
    group: text('Its group.'),
    kind: text('Its resource.'),
    uid: text('Its uid.'),
    causes: {
      type: 'array',
      items: ref(`${META}.StatusCause`),
      description: 'One for each field that was wrong.',
      'x-kubernetes-list-type': 'atomic',
    },
    retryAfterSeconds: { type: 'integer', format: 'int32', description: 'When trying again makes sense.' },
  },
}

/** `gvks`: the kinds that each group and version calls by these names. */
export function metaSchemas(gvks: (kind: string) => readonly object[]): Readonly<Record<string, JsonSchema>> {
  const type = (kind: string): JsonSchema => ({
    apiVersion: text('Version of the form that it is written in.'),
    kind: text(`${kind}.`),
  })
  return named({
    ObjectMeta: objectMeta,
    OwnerReference: ownerReference,
    ManagedFieldsEntry: managedFieldsEntry,
    FieldsV1: { type: 'object', description: 'A set of fields, as a tree of their paths.' },
    ListMeta: listMeta,
    Time: { type: 'string', format: 'date-time', description: 'A time to the second (RFC 3339).' },
    MicroTime: { type: 'string', format: 'date-time', description: 'A time to the microsecond (RFC 3339).' },
    Preconditions: {
      type: 'object',
      description: 'What must hold, or nothing is done.',
      properties: { uid: text('The uid.'), resourceVersion: text('The resourceVersion.') },
    },
    DeleteOptions: {
      type: 'object',
      description: 'How to delete.',
      properties: {
        ...type('DeleteOptions'),
        dryRun: texts('All: do everything but store.'),
        gracePeriodSeconds: int64('Not used.'),
        orphanDependents: yesNo('Not used: see propagationPolicy.'),
        preconditions: ref(`${META}.Preconditions`, 'What must hold, or nothing is deleted.'),
        propagationPolicy: text('What becomes of objects that this one owns.'),
      },
      'x-kubernetes-group-version-kind': gvks('DeleteOptions'),
    },
    Status: {
      type: 'object',
      description: 'The answer where no object is: what went wrong, or that all went well.',
      properties: {
        ...type('Status'),
        metadata: ref(`${META}.ListMeta`, 'Empty.'),
        status: text('Success or Failure.'),
        message: text('What happened, for people.'),
        reason: text('What happened, as one word for programs.'),
        details: ref(`${META}.StatusDetails`, 'More about it.'),
        code: { type: 'integer', format: 'int32', description: 'The status code of HTTP.' },
      },
      'x-kubernetes-group-version-kind': [{ group: '', version: 'v1', kind: 'Status' }],
    },
    StatusDetails: statusDetails,
    StatusCause: {
      type: 'object',
      description: 'One field that was wrong.',
      properties: {
        field: text('Its path.'),
        message: text('What is wrong, for people.'),
        reason: text('What is wrong, as one word for programs.'),
      },
    },
    Patch: { type: 'object', description: 'A patch, in the form that the content type says.' },
  })
}

function named(schemas: Readonly<Record<string, JsonSchema>>): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [`${META}.${name}`, schema]))
}
