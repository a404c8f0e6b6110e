// What happened, told where kubectl looks.
import { beforeAll, expect, test } from 'vitest'
import { describeKubectl, parseTable, setStatus } from '../support/kubectl.ts'
import { environment, type Json } from '../support/server.ts'

describeKubectl('events and describe', (k, minor) => {
  const admin = () => k().as('admin')
  const report = async (about: string, more: Json) => {
    const { metadata } = await k().json(`get env ${about}`)
    const now = new Date(Date.now()).toISOString().replace(/\.\d+Z$/, 'Z')
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { generateName: `${about}.`, namespace: 'default' },
      involvedObject: {
        ...{ apiVersion: 'bothy.dev/v1alpha1', kind: 'Environment', namespace: 'default', name: about },
        uid: metadata.uid,
      },
      ...{ type: 'Normal', reason: 'Tested', message: 'it was tested', source: { component: 'tester' } },
      ...{ firstTimestamp: now, lastTimestamp: now, count: 1 },
      ...more,
    }
    return admin().given(event).ok('create -f -')
  }

  beforeAll(async () => {
    const labels = { team: 'a' }
    await k()
      .given(environment('otter', { metadata: { labels }, spec: { env: { A: '1' } } }), environment('heron'))
      .ok('create -f -')
    await report('otter', { reason: 'Started', message: 'started in 40 ms' })
    await report('otter', { type: 'Warning', reason: 'ImageMissing', message: 'no such image', count: 3 })
    await report('heron', { reason: 'Started', message: 'started too' })
  })

  test('describe shows the object, and what happened to it', async () => {
    const image = { reference: 'example.com/base:1', digest: `sha256:${'0'.repeat(64)}` }
    await setStatus(k(), 'otter', { phase: 'Starting', epoch: 4, image })
    const said = await k().ok('describe env otter')
    expect(said).toMatch(/^Name: +otter$/m)
    expect(said).toMatch(/^Namespace: +default$/m)
    expect(said).toMatch(/^Labels: +team=a$/m)
    expect(said).toMatch(/^Annotations: +bothy.dev\/owner: ada$/m)
    expect(said).toMatch(/^API Version: +bothy.dev\/v1alpha1$/m)
    expect(said).toMatch(/^Kind: +Environment$/m)
    expect(said).toMatch(/^ {2}Desired: +Running$/m)
    expect(said).toMatch(/^ {2}Phase: +Starting$/m)
    expect(said).toMatch(/^ {2}Type +Reason +Age +From +Message$/m)
    expect(said).toMatch(/^ {2}Normal +Started +\d+s +tester +started in 40 ms$/m)
    expect(said).toMatch(/^ {2}Warning +ImageMissing +\d+s( \(x3 over \d+s\))? +tester +no such image$/m)
    expect(said).not.toContain('started too')
    expect(await k().ok('describe env/heron')).toContain('started too')
  })

  test('describe several, by label, by prefix, and without events', async () => {
    expect(await k().ok('describe env')).toMatch(/Name: +heron\n[^]*Name: +otter\n/)
    expect(await k().ok('describe env -l team=a')).toMatch(/^Name: +otter$/m)
    expect(await k().ok('describe env ott')).toMatch(/^Name: +otter$/m)
    expect(await k().ok('describe env otter --show-events=false')).not.toContain('Events:')
    expect(await k().fails('describe env nobody')).toContain('environments.bothy.dev "nobody" not found')
  })

  test('get events', async () => {
    const rows = parseTable(await k().ok('get events'))
    expect(rows).toHaveLength(3)
    expect(rows).toContainEqual({
      ...{ 'LAST SEEN': expect.stringMatching(/^\d+s$/), TYPE: 'Warning', REASON: 'ImageMissing' },
      ...{ OBJECT: 'environment/otter', MESSAGE: 'no such image' },
    })
    const about = parseTable(await k().ok('get events --field-selector involvedObject.name=heron'))
    expect(about.map(row => row['MESSAGE'])).toEqual(['started too'])
    const warnings = parseTable(await k().ok('get events -A --field-selector type=Warning'))
    expect(warnings.map(row => row['REASON'])).toEqual(['ImageMissing'])
    expect(await k().ok('get events --sort-by=.lastTimestamp -o name')).toMatch(/^(event\/\w+\.\w+\n){3}$/)
    const { items } = await k().json('get events')
    expect(items[0]).toMatchObject({
      ...{
        apiVersion: 'v1',
        kind: 'Event',
        source: { component: 'tester' },
        involvedObject: { kind: 'Environment' },
      },
    })
  })

  test('the same events by their newer name', async () => {
    const { items } = await k().json('get events.events.k8s.io')
    expect(items).toHaveLength(3)
    expect(items[0]).toMatchObject({ apiVersion: 'events.k8s.io/v1', regarding: { kind: 'Environment' } })
    expect(await k().ok('get events.v1.events.k8s.io')).toContain('no such image')
  })

  test('get events -w', async () => {
    const watching = k().start('get events -w')
    await watching.until(/started too/)
    await report('heron', { reason: 'Later', message: 'seen as it happens' })
    await watching.until(/Later +environment\/heron +seen as it happens/)
    await watching.end()
  })

  if (minor >= 26) {
    test('events, of all and of one, as they come', async () => {
      const rows = parseTable(await k().ok('events'))
      expect(rows.map(row => row['REASON'])).toContain('ImageMissing')
      const about = parseTable(await k().ok('events --for environment/otter'))
      expect(new Set(about.map(row => row['REASON']))).toEqual(new Set(['ImageMissing', 'Started']))
      expect(parseTable(await k().ok('events --types=Warning -A'))).toMatchObject([
        { NAMESPACE: 'default', REASON: 'ImageMissing' },
      ])
      const watching = k().start('events --for environment/heron -w')
      await watching.until(/started too/)
      await report('heron', { reason: 'Watched', message: 'and seen' })
      await watching.until(/Watched +Environment\/heron +and seen/)
      expect((await watching.end()).stdout).not.toContain('no such image')
    })
  }

  test('events are not for members to write', async () => {
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'forged' },
      involvedObject: {},
      reason: 'x',
      message: 'x',
    }
    expect(await k().given(event).fails('create --validate=false -f -')).toContain('Forbidden')
  })
})
