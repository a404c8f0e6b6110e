import { eventWire } from './event-wire.ts'
import type { WireForm } from './kind.ts'
import type { KIND_NAMES } from './kind-names.ts'

/** The kinds that are not written as spec and status, under the name that `KIND_NAMES` gives them. */
export const WIRE_FORMS: Partial<Record<keyof typeof KIND_NAMES, WireForm>> = { Event: eventWire }

export type { WireForm }
