// Kinds under Kubernetes' names, in front of a real server.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CliWorld, openCliWorld } from '../../test/support/cli-world.ts'

let world: CliWorld
beforeAll(async () => {
  world = await openCliWorld()
})
afterAll(() => world?.close())

const bothy = (line: string) => world.bothy(line)

/** As a reporter writes it. */
async function tell(about: { kind: string; name: string; uid: string }, event: Record<string, unknown>) {
  const body = {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: `${about.name}.${String(event['reason']).toLowerCase()}`, namespace: 'default' },
    regarding: { apiVersion: 'bothy.dev/v1alpha1', namespace: 'default', ...about },
    type: 'Normal',
    reportingController: 'test',
    ...event,
  }
  const token = world.server.tokens.admin
  const path = '/apis/events.k8s.io/v1/namespaces/default/events'
  const { status, text } = await world.server.call('POST', path, { token, body })
  expect(status, text).toBe(201)
}

test('explain shows what happened to the object, and get shows what happened at all', async () => {
  await bothy('env create --name told --no-wait')
  const { uid } = JSON.parse((await bothy('env get told -o json')).stdout).metadata
  const [early, late] = ['2026-01-02T03:04:05Z', '2026-01-02T04:04:05Z']
  const about = { kind: 'Environment', name: 'told', uid }
  await tell(about, { reason: 'Zpulled', note: 'image is here', deprecatedLastTimestamp: early })
  await tell(about, {
    reason: 'BackOff',
    type: 'Warning',
    note: 'clone failed\u001b[31m',
    deprecatedCount: 7,
    deprecatedLastTimestamp: late,
  })
  const another = { ...about, uid: '01900000-0000-7000-8000-000000000000' }
  await tell(another, { reason: 'Before', note: 'of another life', deprecatedLastTimestamp: late })

  const { stdout } = await bothy('explain env/told')
  expect(stdout).toMatch(/What happened\n +AGE +REASON +COUNT +MESSAGE\n[^]*Zpulled +1 +image is here\n/)
  expect(stdout).toMatch(/Zpulled[^]*BackOff +7 +clone failed/)
  expect(stdout).not.toContain('of another life')
  expect(stdout).not.toContain('\u001b')
  const { events } = JSON.parse((await bothy('explain env/told -o json')).stdout)
  expect(events).toContainEqual({
    ageMs: expect.any(Number),
    type: 'Normal',
    reason: 'Zpulled',
    message: 'image is here',
    count: 1,
  })

  const table = await bothy('get events')
  expect(table.stdout).toMatch(/^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n/)
  expect(table.stdout).toMatch(/Normal +Zpulled +environment\/told +image is here\n[^]*BackOff/)
  const names = (await bothy('get events -o name --field-selector reason=Zpulled')).stdout
  expect(names).toBe('event.events.k8s.io/told.zpulled\n')
  const written = JSON.parse((await bothy(`get ${names.trim()} -o json`)).stdout)
  expect(written).toMatchObject({ kind: 'Event', regarding: { uid }, note: 'image is here' })
  expect(written).not.toHaveProperty('spec')
  await bothy('env delete told')
})

test('organizations are namespaces to those who say so', async () => {
  const admin = (line: string, stdin = '') =>
    world.cli.run(line.split(' '), { stdin, env: { BOTHY_TOKEN: world.server.tokens.admin } })
  const manifest = 'apiVersion: bothy.dev/v1alpha1\nkind: Organization\nmetadata: { name: team }\nspec: {}\n'
  expect(await admin('apply -f -', manifest)).toMatchObject({ code: 0, stderr: '' })
  expect((await admin('get organizations')).stdout).toMatch(/^NAME +STATUS +AGE\n[^]*team +Active/)
  for (const word of ['ns', 'namespaces', 'namespace/team', 'org team']) {
    expect((await admin(`get ${word} -o name`)).stdout, word).toContain('organization.bothy.dev/team\n')
  }
})
