import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findSudoUser, shareWithSudoUser } from './sudo-user.ts'

const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nodd:x:1001:1001::relative:/bin/sh'

test.each([
  [
    { SUDO_UID: '1000', SUDO_GID: '1000' },
    { uid: 1000, gid: 1000, home: '/home/me' },
  ],
  [{ SUDO_UID: '0', SUDO_GID: '0' }, undefined],
  [{ SUDO_UID: '1001', SUDO_GID: '1001' }, undefined],
  [{ SUDO_UID: '4242', SUDO_GID: '4242' }, undefined],
  [{ SUDO_UID: '1000x', SUDO_GID: '1000' }, undefined],
  [{}, undefined],
])('%j is %j', (env, user) => {
  expect(findSudoUser(env, PASSWD)).toEqual(user)
})

const isRoot = process.getuid?.() === 0
// Another user's processes must be able to read the program; below a private home they cannot, and the context is root's only.
const skipped = isRoot ? '' : ' (skipped: needs root)'

test.skipIf(!isRoot)(`a link in the user's home leads root nowhere${skipped}`, async () => {
  const passwd = await readFile('/etc/passwd', 'utf8')
  const [, , uid = '', gid = ''] =
    passwd
      .split('\n')
      .find(line => line.startsWith('nobody:'))
      ?.split(':') ?? []
  const dir = await mkdtemp('/var/tmp/bothy-sudo-')
  try {
    await chmod(dir, 0o755)
    const [home, victim] = [join(dir, 'home'), join(dir, 'victim')]
    await mkdir(home)
    await mkdir(victim, { mode: 0o755 })
    await symlink(victim, join(home, '.config'))
    await chown(home, Number(uid), Number(gid))
    const fields = (line: string) =>
      line.startsWith('nobody:') ? line.replace(/:[^:]*:([^:]*)$/, `:${home}:$1`) : line
    const found = findSudoUser({ SUDO_UID: uid, SUDO_GID: gid }, passwd.split('\n').map(fields).join('\n'))
    expect(found?.home).toBe(home)
    const context = { name: 'local', server: 'https://127.0.0.1:1', token: 'bothy_x', namespace: 'default' }
    const why = await shareWithSudoUser(
      context,
      { SUDO_UID: uid, SUDO_GID: gid },
      passwd.split('\n').map(fields).join('\n'),
    )
    expect(why).toBeDefined()
    expect((await stat(victim)).uid).toBe(0)
    await expect(stat(join(victim, 'bothy'))).rejects.toMatchObject({ code: 'ENOENT' })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
