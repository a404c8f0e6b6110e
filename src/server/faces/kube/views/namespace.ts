// Namespaces are organizations: the same objects, in the form that Kubernetes' clients know.
import type { Condition } from '../../../../api/conditions.ts'
import type { Column, WireForm } from '../../../../api/kinds/kind.ts'
import { type OrganizationStatus, organization } from '../../../../api/kinds/organization.ts'

/** Conditions of an organization that are a namespace's too, with `Namespace` before the type. */
const SHOWN = ['ContentRemaining', 'FinalizersRemaining']

export const namespaceWire: WireForm = {
  toWire: ({ status }) => {
    const { phase = 'Active', conditions = [] } = status as Partial<OrganizationStatus>
    const shown = conditions.filter(({ type }) => SHOWN.includes(type)).map(toNamespaceCondition)
    return {
      spec: { finalizers: ['kubernetes'] },
      status: { phase, ...(shown.length === 0 ? {} : { conditions: shown }) },
    }
  },
  // What a namespace says of itself is nothing that an organization keeps: labels and annotations are.
  toStored: (_fields, before) => ({ spec: before?.spec ?? {}, status: before?.status ?? {} }),
}

function toNamespaceCondition({ type, status, lastTransitionTime, reason, message, hint }: Condition) {
  const said = hint === undefined ? message : `${message} (${hint})`
  return { type: `Namespace${type}`, status, lastTransitionTime, reason, message: said }
}

export const NAMESPACE_COLUMNS: readonly Column[] = organization.columns

const text = (description: string) => ({ type: 'string', description })

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
    properties: {
      phase: text('Active, or Terminating while its contents go.'),
      conditions: {
        type: 'array',
        description: 'What holds up its deletion.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['type'],
        items: {
          type: 'object',
          required: ['type', 'status'],
          properties: {
            type: text('What is judged.'),
            status: text('True, False or Unknown.'),
            reason: text('Why, in one word.'),
            message: text('Why, in a sentence, and what can be done about it.'),
            lastTransitionTime: { ...text('When the status changed.'), format: 'date-time' },
          },
        },
      },
    },
  },
} as const
