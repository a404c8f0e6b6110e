// What a writer can own at all, and what of a manifest is taken.
import { Fault } from '../../lib/fault.ts'
import type { Filter } from './apply.ts'
import { configProblems } from './config-problems.ts'
import { asMap, type JsonMap, omit, own } from './json.ts'
import { fieldElement } from './path-element.ts'
import { difference, EMPTY, node, type PathSet, setOf } from './path-set.ts'
import type { Type } from './type.ts'

/** Metadata that the system writes. What a manifest says of it is not taken. */
const SYSTEM_METADATA = [
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'generation',
  'managedFields',
  'selfLink',
]

/** Metadata that says which object is meant, not how it should be. */
const IDENTITY_METADATA = ['name', 'namespace', 'resourceVersion', 'uid']

const NOBODYS = setOf(
  [fieldElement('apiVersion')],
  [fieldElement('kind')],
  [fieldElement('metadata')],
  ...[...SYSTEM_METADATA, ...IDENTITY_METADATA].map(name => [fieldElement('metadata'), fieldElement(name)]),
)

const STATUS = fieldElement('status')

/** Whoever writes the status owns nothing else, and whoever writes the object never owns its status. */
export function ownableBy(subresource: string | undefined): Filter {
  return subresource === 'status' ? onlyStatus : allButStatus
}

function onlyStatus(set: PathSet): PathSet {
  const status = set.children.get(STATUS)
  if (status === undefined) return EMPTY
  return set.children.size === 1 ? set : node(false, new Map([[STATUS, status]]))
}

function allButStatus(set: PathSet): PathSet {
  const rest = difference(set, NOBODYS)
  if (!rest.children.has(STATUS)) return rest
  return node(false, new Map([...rest.children].filter(([element]) => element !== STATUS)))
}

/**
 * The part of a manifest that is applied: never what the system writes, and only what the subresource is about.
 * @throws Fault `malformed` when it brings managedFields or is of another version; `invalid` when it cannot be merged
 */
export function acceptedConfig(
  type: Type,
  config: JsonMap,
  apiVersion: string,
  subresource: string | undefined,
): JsonMap {
  const metadata = asMap(own(config, 'metadata')) ?? {}
  if ((own(metadata, 'managedFields') ?? null) !== null) {
    throw new Fault('malformed', 'apply-managed-fields', 'metadata.managedFields must be nil', {
      hint: 'Leave metadata.managedFields out of what is applied.',
    })
  }
  const version = own(config, 'apiVersion')
  if (version !== apiVersion) {
    throw new Fault(
      'malformed',
      'apply-version',
      `the manifest to apply is of version ${JSON.stringify(version ?? '')}, the request of ${apiVersion}`,
    )
  }
  const causes = configProblems(type, config)
  const [first] = causes
  if (first !== undefined) {
    const message = `the manifest cannot be merged: ${first.field}: ${first.message}`
    throw new Fault('invalid', 'apply-unmergeable', message, { causes })
  }
  if (subresource !== 'status') {
    return { ...omit(config, ['status']), metadata: omit(metadata, SYSTEM_METADATA) }
  }
  const named = Object.entries(metadata).filter(([key]) => IDENTITY_METADATA.includes(key))
  const taken = Object.entries(config).filter(([key]) => ['apiVersion', 'kind', 'status'].includes(key))
  return { ...Object.fromEntries(taken), metadata: Object.fromEntries(named) }
}
