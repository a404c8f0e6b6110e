import { z } from 'zod'
import { conditionsSchema } from '../conditions.ts'
import type { KindDefinition } from './kind.ts'
import { KIND_NAMES } from './kind-names.ts'

export const organizationSpecSchema = z.strictObject({
  displayName: z.string().max(200).optional().describe('What people call it.'),
})

export const organizationStatusSchema = z.strictObject({
  phase: z
    .enum(['Active', 'Terminating'])
    .default('Active')
    .describe('Terminating: it is being deleted, and everything in it first.'),
  conditions: conditionsSchema.default([]).describe('What holds up its deletion, among others.'),
})

export type OrganizationSpec = z.infer<typeof organizationSpecSchema>
export type OrganizationStatus = z.infer<typeof organizationStatusSchema>

/** Always there: where everything is that nobody has named a namespace for. */
export const DEFAULT_ORGANIZATION = 'default'

/** Keeps an organization until everything in it is gone. */
export const ORGANIZATION_FINALIZER = 'bothy.dev/contents'

export const organization: KindDefinition<OrganizationSpec, OrganizationStatus> = {
  ...KIND_NAMES.Organization,
  description:
    'A namespace: what belongs together, seen by its members. Kubernetes tools see it as a Namespace of the same name.',
  spec: organizationSpecSchema,
  status: organizationStatusSchema,
  emptyStatus: { phase: 'Active', conditions: [] },
  finalizers: [ORGANIZATION_FINALIZER],
  columns: [
    { name: 'Status', type: 'string', path: '.status.phase', description: 'Active, or being deleted.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Time since creation.' },
  ],
  immutable: [],
  setOnce: [],
  selectable: ['status.phase'],
  actions: [],
}
