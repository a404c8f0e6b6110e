import { Fault } from '../../lib/fault.ts'
import { mustRun } from '../../lib/run-process.ts'
import { LAST_IN_LINE } from './tool.ts'

/** Ids that exist in an environment; whatever is owned by others could be neither read nor removed there. */
const LAST_ID = 65535

/** Environments get their devices from the driver. Those of an image could only be an attempt at the host's. */
export async function removeDevices(rootfs: string, signal: AbortSignal): Promise<void> {
  await mustRun(
    [...LAST_IN_LINE, 'find', rootfs, '-xdev', '(', '-type', 'b', '-o', '-type', 'c', ')', '-delete'],
    { signal },
  )
}

/** Faults with `invalid` when a file of the tree belongs to an id that environments do not have. */
export async function checkOwners(rootfs: string, signal: AbortSignal): Promise<void> {
  const beyond = ['(', '-uid', `+${LAST_ID}`, '-o', '-gid', `+${LAST_ID}`, ')']
  const found = await mustRun(
    [...LAST_IN_LINE, 'find', rootfs, '-xdev', ...beyond, '-printf', '/%P\n', '-quit'],
    { signal },
  )
  if (found === '') return
  const hint = `rebuild the image with user and group ids from 0 to ${LAST_ID}`
  const message = `unpack an image: ${found.trim().slice(0, 200)} belongs to an id above ${LAST_ID}`
  throw new Fault('invalid', 'image-foreign-owner', message, { hint })
}
