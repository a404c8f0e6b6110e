import { type EnvironmentSpec, type EnvironmentStatus, environment } from './environment.ts'
import {
  type EnvironmentClassSpec,
  type EnvironmentClassStatus,
  environmentClass,
} from './environment-class.ts'
import { type EventSpec, type EventStatus, event } from './event.ts'
import type { KindDefinition } from './kind.ts'
import { type OrganizationSpec, type OrganizationStatus, organization } from './organization.ts'
import { type RunnerSpec, type RunnerStatus, runner } from './runner.ts'
import { type SnapshotSpec, type SnapshotStatus, snapshot } from './snapshot.ts'

/** Every kind. A new kind is one file beside this one, its names in `kind-names.ts`, and a line in each of the two lists. */
export interface Kinds {
  Environment: { spec: EnvironmentSpec; status: EnvironmentStatus }
  EnvironmentClass: { spec: EnvironmentClassSpec; status: EnvironmentClassStatus }
  Snapshot: { spec: SnapshotSpec; status: SnapshotStatus }
  Runner: { spec: RunnerSpec; status: RunnerStatus }
  Organization: { spec: OrganizationSpec; status: OrganizationStatus }
  Event: { spec: EventSpec; status: EventStatus }
}

export const KINDS: { readonly [K in keyof Kinds]: KindDefinition<Kinds[K]['spec'], Kinds[K]['status']> } = {
  Environment: environment,
  EnvironmentClass: environmentClass,
  Snapshot: snapshot,
  Runner: runner,
  Organization: organization,
  Event: event,
}
