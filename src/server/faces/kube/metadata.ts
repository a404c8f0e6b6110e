import { z } from 'zod'
import { LABEL_KEY, LABEL_VALUE } from './selectors.ts'

const MAX_ANNOTATIONS_BYTES = 256 * 1024

const labelKey = z
  .string()
  .regex(LABEL_KEY, "not a label key: [PREFIX/]NAME of letters, digits, '-', '_' and '.'")
const qualified = z.string().max(317).regex(LABEL_KEY, 'not a qualified name: [PREFIX/]NAME')

const ownerReference = z.strictObject({
  apiVersion: z.string().min(1).max(317),
  kind: z.string().min(1).max(63),
  name: z.string().min(1).max(253),
  uid: z.string().min(1).max(64),
  controller: z.boolean().optional(),
  blockOwnerDeletion: z.boolean().optional(),
})

/**
 * What a client may send as `metadata`. Fields that the server alone writes are read for comparison or not at all;
 * `selfLink` is taken and dropped, because clients send back what other servers gave them.
 */
export const metadataSchema = z.strictObject({
  name: z.string().max(253).optional(),
  generateName: z.string().max(58, 'at most 58 characters: five are added').optional(),
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
    .record(labelKey, z.string())
    .refine(
      annotations =>
        Object.entries(annotations).reduce((sum, [key, value]) => sum + key.length + value.length, 0) <=
        MAX_ANNOTATIONS_BYTES,
      'at most 256 KiB in all',
    )
    .optional(),
  finalizers: z.array(qualified).max(64).optional(),
  ownerReferences: z.array(ownerReference).max(64).optional(),
  managedFields: z.unknown().optional(),
  selfLink: z.string().optional(),
})

export type ParsedMetadata = z.infer<typeof metadataSchema>
