import { stat } from 'node:fs/promises'
import { Fault } from '../../lib/fault.ts'

const FIELD = 'registries.authFile in runner.yaml'

/**
 * Looks at the runner's file of registry credentials before a tool reads it. Faults with `forbidden` when it is not there,
 * or when others than its owner can read or change it, as ssh treats its keys. The path stays untold: who asks for an
 * image need not be who operates the host.
 */
export async function checkCredentials(file: string): Promise<void> {
  const what = 'use the registry credentials of the runner'
  const found = await stat(file).catch((cause: NodeJS.ErrnoException) => cause)
  if (found instanceof Error) {
    const hint = `correct ${FIELD}, or make the file: 'skopeo login --authfile FILE REGISTRY' on the runner's host`
    const why =
      found.code === 'ENOENT' ? 'their file is not there' : `their file cannot be read: ${found.code}`
    throw new Fault('forbidden', 'credentials-missing', `${what}: ${why}`, { hint, cause: found })
  }
  const isOwn = found.uid === 0 || found.uid === process.geteuid?.()
  if (found.isFile() && isOwn && (found.mode & 0o077) === 0) return
  const hint = `make it a file of root's with mode 0600 (chown, chmod) on the runner's host: ${FIELD} names it`
  throw new Fault(
    'forbidden',
    'credentials-exposed',
    `${what}: others on its host can read or change their file`,
    {
      hint,
    },
  )
}
