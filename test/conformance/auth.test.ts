// Who may what, and who one is.
import { expect, test } from 'vitest'
import { describeKubectl, parseTable } from '../support/kubectl.ts'
import { environment } from '../support/server.ts'

describeKubectl('auth', (k, minor) => {
  test.each([
    ['ada', 'create environments', 'yes'],
    ['ada', 'create environments.bothy.dev', 'yes'],
    ['ada', 'list environments --all-namespaces', 'yes'],
    ['ada', 'create environmentclasses.bothy.dev', 'no'],
    ['ada', 'update environments --subresource=status', 'no'],
    ['admin', 'update environments --subresource=status', 'yes'],
    ['admin', 'create environmentclasses', 'yes'],
    ['admin', 'delete runners', 'yes'],
    ['eve', 'get environments', 'yes'],
    ['eve', 'watch runners', 'yes'],
    ['eve', 'create environments', 'no'],
    ['eve', 'get /version', 'yes'],
  ] as const)('%s can-i %s: %s', async (user, what, expected) => {
    const { code, stdout } = await k().as(user).run(`auth can-i ${what}`)
    expect(stdout).toMatch(new RegExp(`^${expected}\\b`))
    expect(code).toBe(expected === 'yes' ? 0 : 1)
  })

  test('can-i of one object, quietly', async () => {
    await k().given(environment('mine')).ok('create -f -')
    expect(await k().ok('auth can-i delete env/mine')).toBe('yes\n')
    expect((await k().as('bob').run('auth can-i delete env/mine -q')).code).toBe(1)
    expect((await k().run('auth can-i delete env/mine -q')).code).toBe(0)
  })

  test('can-i --list', async () => {
    const rows = parseTable(await k().ok('auth can-i --list'))
    expect(rows).toContainEqual(
      expect.objectContaining({
        Resources: 'environments.bothy.dev',
        Verbs: expect.stringContaining('create'),
      }),
    )
    const viewer = parseTable(await k().as('eve').ok('auth can-i --list'))
    const verbs = viewer.find(row => row['Resources']?.includes('environments.bothy.dev'))?.['Verbs']
    expect(verbs?.replace(/[[\]]/g, '').split(' ').sort()).toEqual(['get', 'list', 'watch'])
  })

  if (minor >= 27) {
    test('whoami', async () => {
      expect(parseTable(await k().ok('auth whoami'))).toContainEqual({ ATTRIBUTE: 'Username', VALUE: 'ada' })
      expect(await k().as('admin').json('auth whoami')).toMatchObject({
        kind: 'SelfSubjectReview',
        status: { userInfo: { username: 'root', groups: expect.arrayContaining(['system:authenticated']) } },
      })
    })
  }

  test('nobody acts as somebody else', async () => {
    for (const flags of ['--as root', '--as root --as-group admins']) {
      expect(await k().fails(`get env ${flags}`)).toContain('Error from server (Forbidden)')
      expect(await k().as('admin').fails(`get env ${flags}`)).toContain('Error from server (Forbidden)')
    }
    expect(await k().given(environment('theirs')).fails('create --as root --validate=false -f -')).toContain(
      'Forbidden',
    )
    expect(await k().ok('get env theirs --ignore-not-found')).toBe('')
  })

  test('a token that is none', async () => {
    const { code, stderr } = await k().run('get env --token bothy_nonsense')
    expect(code).toBe(1)
    expect(stderr).toMatch(/You must be logged in to the server|Unauthorized/)
  })
})
