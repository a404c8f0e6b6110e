// What a client learns about the server before it does anything.
import { expect, test } from 'vitest'
import { hasCurrentKubectl } from '../../scripts/setup/kubectl.mjs'
import { usesApt } from '../../scripts/setup/system-packages.mjs'
import type { KindDefinition } from '../../src/api/kinds/kind.ts'
import { KINDS } from '../../src/api/kinds/registry.ts'
import { describeKubectl, KUBECTLS, parseTable } from '../support/kubectl.ts'
import { titled } from '../support/requirements.ts'
import { environment } from '../support/server.ts'

const DEFINITIONS = (Object.values(KINDS) as KindDefinition<unknown, unknown>[])
  .filter(each => each.group === 'bothy.dev')
  .sort((a, b) => (a.plural < b.plural ? -1 : 1))
const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']

// Both are brought by `npm test`: where one is missing, the suite does not say what it promises to say.
const reason =
  hasCurrentKubectl && usesApt() ? undefined : 'the old and the current kubectl are not to be had here'

test.skipIf(reason !== undefined)(titled('an old kubectl and a current one are tried', reason), () => {
  const minors = KUBECTLS.map(each => each.minor)
  expect(minors.length).toBeGreaterThan(1)
  expect(Math.max(...minors)).toBeGreaterThanOrEqual(36)
})

describeKubectl('discovery', (k, minor) => {
  test('version', async () => {
    // Of a client that is much newer or older, kubectl warns.
    const { code, stdout } = await k().run('version -o json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout).serverVersion).toMatchObject({
      major: '1',
      gitVersion: expect.stringMatching(/^v1\.\d+\.\d+\+bothy$/),
    })
    expect((await k().run('version')).stdout).toMatch(/Server Version: .*v1\.\d+\.\d+\+bothy/)
  })

  test('cluster-info', async () => {
    expect(await k().ok('cluster-info')).toContain(`is running at`)
    expect(await k().ok('cluster-info')).toContain(k().server.url())
  })

  test('api-versions', async () => {
    expect((await k().ok('api-versions')).trim().split('\n')).toEqual(
      expect.arrayContaining(['bothy.dev/v1alpha1', 'v1', 'events.k8s.io/v1', 'authorization.k8s.io/v1']),
    )
  })

  test('api-resources names every kind, once', async () => {
    const rows = parseTable(await k().ok('api-resources --api-group=bothy.dev'))
    const expected = DEFINITIONS.map(({ plural, shortNames, namespaced, kind }) => ({
      NAME: plural,
      SHORTNAMES: shortNames.join(','),
      APIVERSION: 'bothy.dev/v1alpha1',
      NAMESPACED: String(namespaced),
      KIND: kind,
    }))
    expect(rows).toEqual(expected)
    const all = parseTable(await k().ok('api-resources'))
    expect(all).toEqual(expect.arrayContaining(rows))
    expect(all).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          NAME: 'namespaces',
          SHORTNAMES: 'ns',
          APIVERSION: 'v1',
          NAMESPACED: 'false',
        }),
        expect.objectContaining({ NAME: 'events', SHORTNAMES: 'ev', APIVERSION: 'v1', KIND: 'Event' }),
      ]),
    )
  })

  test('api-resources by scope, by verb, by name, and wide', async () => {
    const names = async (line: string) => (await k().ok(`api-resources -o name ${line}`)).trim().split('\n')
    const own = (namespaced: boolean) =>
      DEFINITIONS.filter(each => each.namespaced === namespaced).map(each => `${each.plural}.bothy.dev`)
    const namespaced = await names('--namespaced=true')
    const clusterWide = await names('--namespaced=false')
    expect(namespaced).toEqual(expect.arrayContaining(['events', ...own(true)]))
    expect(clusterWide).toEqual(expect.arrayContaining(['namespaces', ...own(false)]))
    expect(namespaced.filter(each => clusterWide.includes(each))).toEqual([])
    expect(await names('--verbs=create,patch,watch --api-group=bothy.dev')).toEqual(
      [...own(true), ...own(false)].sort(),
    )
    expect(await names('--verbs=fly')).toEqual([''])
    const wide = parseTable(await k().ok('api-resources --api-group=bothy.dev -o wide'))
    for (const row of wide) {
      const verbs = row['VERBS']?.replace(/[[\]]/g, '').split(/[ ,]/)
      // As of namespaces, not several at a time of organizations.
      expect(verbs?.filter(each => each !== 'deletecollection').sort()).toEqual(VERBS)
      expect(verbs?.includes('deletecollection')).toBe(row['NAMESPACED'] === 'true')
    }
  })

  test.each(DEFINITIONS)('explain $plural', async ({ kind, plural, singular, description }) => {
    const said = await k().ok(`explain ${plural}`)
    expect(said).toMatch(new RegExp(`^KIND: +${kind}$`, 'm'))
    expect(said).toMatch(
      minor >= 27 ? /^GROUP: +bothy.dev\n.*\nVERSION: +v1alpha1$/m : /^VERSION: +bothy.dev\/v1alpha1$/m,
    )
    expect(words(said)).toContain(words(description))
    for (const field of ['apiVersion', 'kind', 'metadata', 'spec', 'status'])
      expect(said).toMatch(new RegExp(`^ +${field}\\s+<`, 'm'))
    const spec = await k().ok(`explain ${singular}.spec`)
    expect(spec).toMatch(/(FIELD|RESOURCE): spec <Object>/)
    expect(words(spec)).toContain('What is wanted.')
    expect(await k().ok(`explain ${plural} --recursive`)).toMatch(/^ +spec\s+<Object>\n( +)\1*\w+\s+</m)
  })

  test('explain goes down to single fields', async () => {
    expect(words(await k().ok('explain env.spec.desired'))).toContain('What the environment should be doing.')
    expect(await k().ok('explain env.spec.env')).toContain('<map[string]string>')
    expect(await k().ok('explain env.spec.content.git.url')).toContain('<string>')
    expect(await k().ok('explain env.status.conditions')).toMatch(/<\[\]Object>/)
    expect(await k().ok('explain env.status.conditions.reason')).toContain('<string>')
    expect(await k().ok('explain env.metadata.ownerReferences.uid')).toContain('<string>')
    const recursive = await k().ok('explain env --recursive')
    expect(recursive).toMatch(
      /^ +content\s+<Object>\n(?:.*\n)*? +git\s+<Object>\n(?:.*\n)*? +url\s+<string>/m,
    )
    expect(recursive).toMatch(/^ +managedFields\s+<\[\](Object|ManagedFieldsEntry)>/m)
    expect(await k().fails('explain env.spec.nonsense')).toContain('field "nonsense" does not exist')
    expect(await k().fails('explain nonsense')).toContain('nonsense')
  })

  test('explain knows the built-in kinds too', async () => {
    for (const kind of ['events', 'namespaces'])
      expect(await k().ok(`explain ${kind}`)).toMatch(/^KIND: +\w/m)
    if (minor >= 21) expect(await k().ok('explain events --api-version=events.k8s.io/v1')).toContain('KIND:')
  })

  test('get --raw', async () => {
    expect(JSON.parse(await k().ok('get --raw /version'))).toMatchObject({ major: '1' })
    expect(await k().ok('get --raw /healthz')).toContain('ok')
    expect(JSON.parse(await k().ok('get --raw /apis'))).toMatchObject({ kind: 'APIGroupList' })
    const list = JSON.parse(
      await k().ok('get --raw /apis/bothy.dev/v1alpha1/namespaces/default/environments'),
    )
    expect(list).toMatchObject({ kind: 'EnvironmentList', items: [] })
    expect(await k().fails('get --raw /apis/bothy.dev/v1alpha1/nonsense')).toContain('NotFound')
  })

  test('proxy lets others use the credentials', async () => {
    const proxy = k().start('proxy --port=0')
    await proxy.until(/Starting to serve on 127.0.0.1:\d+/)
    const [, port] = /127.0.0.1:(\d+)/.exec(proxy.said()) ?? []
    const url = `http://127.0.0.1:${port}/apis/bothy.dev/v1alpha1/namespaces/default/environments`
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify(environment('proxied'))
    expect((await fetch(url, { method: 'POST', headers, body })).status).toBe(201)
    expect(await (await fetch(`${url}/proxied`)).json()).toMatchObject({ metadata: { name: 'proxied' } })
    expect((await fetch(`${url}/proxied`, { method: 'DELETE' })).status).toBe(200)
    await proxy.end()
  })
})

/** Without the line breaks that fit it to a screen. */
function words(printed: string): string {
  return printed.split(/\s+/).join(' ')
}
