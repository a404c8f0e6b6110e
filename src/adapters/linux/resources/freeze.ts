import type { Carry } from './ground.ts'

/** Whoever is held up for want of room as well goes when both reasons are gone. */
export const freeze: Carry<'freeze'> = ({ freezer }, { id, frozen, reason }) =>
  freezer.hold(id, reason, frozen)
