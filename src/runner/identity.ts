import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { Fault, toFault } from '../lib/fault.ts'

const jwkSchema = z.record(z.string(), z.unknown())

const identitySchema = z.strictObject({
  v: z.literal(1),
  server: z.string(),
  /** PEM of the server's CA, proven by the fingerprint in the enrolment token. */
  ca: z.string(),
  runner: z.strictObject({ uid: z.string(), namespace: z.string(), name: z.string() }),
  /** Private Ed25519 key: proves who this runner is. */
  signingKey: jwkSchema,
  /** Private X25519 key: opens what is sealed for this runner. */
  sealingKey: jwkSchema,
  /** The server's public keys: verify who may enter. */
  jwks: z.object({ keys: z.array(jwkSchema) }),
})

/** Who this runner is: `identity.json`, readable by its user only. */
export type RunnerIdentityFile = z.infer<typeof identitySchema>

const FILE = 'identity.json'

/** Faults with `not_found` when this folder holds no identity, with `invalid` when it is damaged. */
export async function loadIdentity(dir: string): Promise<RunnerIdentityFile> {
  const path = join(dir, FILE)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw toFault(cause)
    throw new Fault('not_found', 'identity-missing', `read ${path}: this runner is not enrolled`, {
      cause,
      hint: "enrol it first: 'bothy runner enroll'",
    })
  }
  try {
    return identitySchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new Fault('invalid', 'identity-damaged', `read ${path}: it is not an identity`, {
      cause,
      hint: 'remove it and enrol the runner again with a new token',
    })
  }
}

/** Folder 0700, file 0600, never half-written. */
export async function saveIdentity(dir: string, identity: RunnerIdentityFile): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await chmod(dir, 0o700)
  const path = join(dir, FILE)
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writeFile(`${JSON.stringify(identity, null, 2)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}
