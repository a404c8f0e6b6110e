import { z } from 'zod'
import { FOREGROUND_FINALIZER, isCollectors, ORPHAN_FINALIZER } from '../../../api/propagation.ts'
import { LABEL_KEY, LABEL_VALUE } from './selectors.ts'

/** So much of `generateName` is used; five characters are added to it. */
const MAX_BASE = 58
const MAX_ANNOTATIONS_BYTES = 256 * 1024

const labelKey = z
  .string()
  .regex(LABEL_KEY, "not a label key: [PREFIX/]NAME of letters, digits, '-', '_' and '.'")
// Kubernetes does not mind capitals here.
const annotationKey = z
  .string()
  .refine(key => LABEL_KEY.test(key.toLowerCase()), 'not a qualified name: [PREFIX/]NAME')
const qualified = z.string().max(317).regex(LABEL_KEY, 'not a qualified name: [PREFIX/]NAME')

const ownerReference = z.strictObject({
  apiVersion: z.string().min(1).max(317),
  kind: z.string().min(1).max(63),
  name: z.string().min(1).max(253),
  uid: z.string().min(1).max(64),
  controller: z.boolean().optional(),
  blockOwnerDeletion: z.boolean().optional(),
})

function isEvent({ apiVersion, kind }: { apiVersion: string; kind: string }): boolean {
  return kind === 'Event' && (apiVersion === 'v1' || apiVersion.startsWith('events.k8s.io/'))
}

/** A name made from `generateName`, as Kubernetes makes them: what is too long is cut. */
export function nameFrom(generateName: string, suffix: string): string {
  return generateName.slice(0, MAX_BASE) + suffix
}

/**
 * What a client may send as `metadata`. Fields that the server alone writes are read for comparison or not at all;
 * `selfLink` is taken and dropped, because clients send back what other servers gave them.
 */
export const metadataSchema = z.strictObject({
  name: z.string().max(253).optional(),
  generateName: z.string().max(253).optional(),
  namespace: z.string().max(63).optional(),
  uid: z.string().max(64).optional(),
  resourceVersion: z.string().max(32).optional(),
  generation: z.number().optional(),
  creationTimestamp: z.string().max(64).optional(),
  deletionTimestamp: z.string().max(64).optional(),
  deletionGracePeriodSeconds: z.number().optional(),
  labels: z
    .record(labelKey, z.string().regex(LABEL_VALUE, "at most 63 letters, digits, '-', '_' and '.'"))
    .optional(),
  annotations: z
    .record(annotationKey, z.string())
    .refine(
      annotations =>
        Object.entries(annotations).reduce((sum, [key, value]) => sum + key.length + value.length, 0) <=
        MAX_ANNOTATIONS_BYTES,
      'at most 256 KiB in all',
    )
    .optional(),
  finalizers: z
    .array(qualified)
    .max(64)
    .refine(
      finalizers => finalizers.filter(isCollectors).length <= 1,
      `finalizer ${ORPHAN_FINALIZER} and ${FOREGROUND_FINALIZER} cannot be both set`,
    )
    .optional(),
  ownerReferences: z
    .array(ownerReference)
    .max(64)
    .refine(
      references => references.filter(({ controller }) => controller === true).length <= 1,
      'Only one reference can have Controller set to true',
    )
    .refine(references => !references.some(isEvent), 'an Event is disallowed from being an owner')
    .optional(),
  managedFields: z.unknown().optional(),
  selfLink: z.string().optional(),
})

export type ParsedMetadata = z.infer<typeof metadataSchema>
