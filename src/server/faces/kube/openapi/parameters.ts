// Parameters of operations, in OpenAPI v3's words.
export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query'
  readonly required?: true
  readonly description: string
  readonly schema: { readonly type: 'string' | 'integer' | 'boolean' }
}

export const pathParameter = (name: string, description: string): Parameter => ({
  name,
  in: 'path',
  required: true,
  description,
  schema: { type: 'string' },
})

const query = (name: string, type: Parameter['schema']['type'], description: string): Parameter => ({
  name,
  in: 'query',
  description,
  schema: { type },
})

const DRY_RUN = query('dryRun', 'string', 'All: do everything but store.')

export const WRITE_PARAMETERS: readonly Parameter[] = [
  DRY_RUN,
  query('fieldManager', 'string', 'Who writes: the name that managedFields notes.'),
  query('fieldValidation', 'string', 'What becomes of unknown and doubled fields: Strict, Warn or Ignore.'),
]

export const PATCH_PARAMETERS: readonly Parameter[] = [
  ...WRITE_PARAMETERS,
  query('force', 'boolean', 'When applying: take over fields that others applied.'),
]

export const DELETE_PARAMETERS: readonly Parameter[] = [
  DRY_RUN,
  query('gracePeriodSeconds', 'integer', 'Not used.'),
  query('orphanDependents', 'boolean', 'Not used: see propagationPolicy.'),
  query('propagationPolicy', 'string', 'What becomes of objects that this one owns.'),
]

export const SELECTION_PARAMETERS: readonly Parameter[] = [
  query('labelSelector', 'string', 'Only objects with these labels.'),
  query('fieldSelector', 'string', 'Only objects with these fields.'),
]

export const LIST_PARAMETERS: readonly Parameter[] = [
  ...SELECTION_PARAMETERS,
  query('limit', 'integer', 'At most so many objects in one answer.'),
  query('continue', 'string', 'Token from the page before.'),
  query('resourceVersion', 'string', 'Where to start.'),
  query('resourceVersionMatch', 'string', 'How resourceVersion is meant: Exact or NotOlderThan.'),
  query('watch', 'boolean', 'Tell of changes as they come.'),
  query('allowWatchBookmarks', 'boolean', 'Tell how far the watch has come, too.'),
  query('sendInitialEvents', 'boolean', 'Begin the watch with what there is.'),
  query('timeoutSeconds', 'integer', 'End the watch after so many seconds.'),
]
