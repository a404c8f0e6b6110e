import { link, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { handOver } from './hand-over.ts'

const why = process.getuid?.() === 0 ? '' : ' (skipped: needs root)'

test.skipIf(why !== '')(`what an account links to is not given to it${why}`, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'bothy-hand-over-'))
  const beside = await mkdtemp(join(tmpdir(), 'bothy-hand-over-'))
  try {
    const [secret, other] = [join(beside, 'shadow'), join(beside, 'passwd')]
    for (const file of [secret, other, join(dir, 'key.pem')]) await writeFile(file, '')
    await symlink(secret, join(dir, 'soft'))
    await link(other, join(dir, 'hard'))
    await handOver(dir, { uid: 65_534, gid: 65_534 })
    expect((await stat(join(dir, 'key.pem'))).uid).toBe(65_534)
    expect([(await stat(secret)).uid, (await stat(other)).uid]).toEqual([0, 0])
  } finally {
    for (const each of [dir, beside]) await rm(each, { recursive: true, force: true })
  }
})
