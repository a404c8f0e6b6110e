// Namespaces are organizations: the same objects, in the form that Kubernetes' clients know.
import type { Column, WireForm } from '../../../../api/kinds/kind.ts'
import { organization } from '../../../../api/kinds/organization.ts'

export const namespaceWire: WireForm = {
  toWire: ({ status }) => ({
    spec: { finalizers: ['kubernetes'] },
    status: { phase: (status as { phase?: unknown }).phase ?? 'Active' },
  }),
  // What a namespace says of itself is nothing that an organization keeps: labels and annotations are.
  toStored: (_fields, before) => ({ spec: before?.spec ?? {}, status: before?.status ?? {} }),
}

export const NAMESPACE_COLUMNS: readonly Column[] = organization.columns

export const NAMESPACE_SCHEMA = {
  spec: {
    type: 'object',
    description: 'What is wanted.',
    properties: {
      finalizers: {
        type: 'array',
        items: { type: 'string' },
        'x-kubernetes-list-type': 'atomic',
        description: 'Always kubernetes: its contents go before it does.',
      },
    },
  },
  status: {
    type: 'object',
    description: 'What is. Written by the system.',
    properties: { phase: { type: 'string', description: 'Active, or Terminating while its contents go.' } },
  },
} as const
