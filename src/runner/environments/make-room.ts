import { toFault } from '../../lib/fault.ts'

/** Removes what nobody needs. True: there is more room now. */
export type MakeRoom = () => Promise<boolean>

/** Before something is refused for want of room, what nobody needs goes; if anything did, it is tried once more. */
export async function orMakeRoom<T>(attempt: () => Promise<T>, makeRoom: MakeRoom): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    if (toFault(error).reason !== 'exhausted' || !(await makeRoom())) throw error
    return attempt()
  }
}
