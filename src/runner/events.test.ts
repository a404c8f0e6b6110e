import { expect, test } from 'vitest'
import { type Environment, say, storeWith, useLifeCycle } from '../../test/support/life-cycle.ts'
import { NOTE_BYTES, noteBytes } from '../api/event-note.ts'
import type { Resource } from '../api/resource.ts'
import { Fault } from '../lib/fault.ts'

const life = useLifeCycle()
const { misbehave, images, content } = life

const REPOSITORY = { content: { git: { url: 'https://git.example.com/app', directory: 'app' } } }

/** What was told of the environment when each of these, reason and note, has been; in the order of telling. */
async function told(about: Environment, ...wanted: RegExp[]): Promise<Resource<'Event'>[]> {
  const signal = AbortSignal.timeout(15_000)
  const found = new Map<string, Resource<'Event'>>()
  const isDone = () =>
    wanted.every(each => [...found.values()].some(({ spec }) => each.test(`${spec.reason} ${spec.note}`)))
  const note = (event: Resource<'Event'>) => {
    if (event.spec.regarding.uid === about.metadata.uid) found.set(event.metadata.name, event)
  }
  const { items, at } = await life.store().list('Event', { namespace: 'default' })
  items.forEach(note)
  if (!isDone()) {
    for await (const { object } of life.store().watch('Event', { namespace: 'default', from: at }, signal)) {
      note(object)
      if (isDone()) break
    }
  }
  const all = [...found.values()].sort((a, b) =>
    String(a.spec.firstTimestamp).localeCompare(String(b.spec.firstTimestamp)),
  )
  expect(isDone(), `only ${all.map(({ spec }) => spec.reason).join()}`).toBe(true)
  return all
}

const lines = (events: readonly Resource<'Event'>[]) =>
  events.map(({ spec }) => `${spec.type} ${spec.reason} ${spec.note}`.replace(/\d+ ms/g, 'N ms'))

test('a life is told in a few events, each by whoever saw it', async () => {
  await life.launch()
  const created = await life.create(REPOSITORY)
  await life.running(created, 1)
  await life.desire(created, 'Stopped')
  await life.phase(created, 'Stopped')
  await life.desire(created, 'Running')
  await life.running(created, 2)
  await life.remove(created)
  await life.until(created, found => found === undefined)
  // The last one was written before the environment was gone: nobody may tell of what is not there.
  const events = await told(created, /^Deleted/, /^Scheduled/)
  expect(lines(events.filter(({ spec }) => !/Pull/.test(spec.reason)))).toEqual([
    "Normal Scheduled bound to runner 'here'",
    expect.stringMatching(/^Normal ContentReady \/workspaces\/repository is at commit \w+.*, after N ms$/),
    expect.stringMatching(/^Normal Started it runs, epoch 1, after N ms: .*content N ms, start N ms$/),
    'Normal Stopped stopped, as asked, after N ms; its disk is kept',
    expect.stringMatching(/^Normal Started it runs, epoch 2, after N ms: disk N ms, start N ms$/),
    'Normal Deleted sandbox and disk are removed, after N ms',
  ])
  const by = ({ spec }: Resource<'Event'>) => `${spec.reportingController}/${spec.reportingInstance}`
  expect(events.map(by)).toEqual(['scheduler/test', ...events.slice(1).map(() => 'runner/here')])
})

test('the same failure again counts, and that it was the last try is told apart', async () => {
  content.exits = [75, 75, 128]
  await life.launch()
  const created = await life.create(REPOSITORY)
  await life.phase(created, 'Failed')
  const events = (await told(created, /^FailedContent.*not tried again/)).filter(
    ({ spec }) => spec.type === 'Warning',
  )
  const last = events.at(-1) as Resource<'Event'>
  expect(lines(events)).toEqual([
    expect.stringMatching(
      /^Warning FailedContent RepositoryUnreachable: .*\(try later\); it is tried again$/,
    ),
    expect.stringMatching(/^Warning FailedContent RefNotFound: .*; it is not tried again$/),
  ])
  expect([events[0]?.spec.count, last.spec.count]).toEqual([2, 1])
})

test('images that cannot be had, sandboxes that end and disks that do not go are warned of', async () => {
  images.fail = name =>
    name.startsWith('registry') ? new Fault('unavailable', 'registry-unreachable', 'no route') : undefined
  misbehave.dieAfterMs = 150
  await life.launch()
  const created = await life.create()
  expect(lines(await told(created, /^SandboxEnded/, /^ImageFallback/))).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^Warning ImageFallback using bootstrap:bookworm.*no route$/),
      expect.stringMatching(/^Warning SandboxEnded the sandbox .*; it is started again$/),
    ]),
  )
  delete misbehave.dieAfterMs
  misbehave.failDestroy = new Fault('internal', 'umount-busy', 'unmount: busy')
  await life.remove(created)
  expect(lines(await told(created, /^FailedDelete/))).toContain(
    'Warning FailedDelete unmount: busy; it is tried again',
  )
  delete misbehave.failDestroy
})

test('what comes from outside cannot write on terminals, nor tell secrets, nor be long', async () => {
  const message = `clone https://ada:hunter2@git.example.com: \u001b[2Jgone\r\n${'x'.repeat(5_000)}`
  misbehave.failDisk = new Fault('invalid', 'disk-wrong', message)
  await life.launch()
  const created = await life.create()
  await life.phase(created, 'Failed')
  const event = (await told(created, /^FailedStart/)).at(-1)
  const note = event?.spec.note ?? ''
  expect(note).toMatch(/^DiskWrong: clone https:\/\/\*\*\*@git\.example\.com: gone x+…$/)
  expect(noteBytes(note)).toBeLessThanOrEqual(NOTE_BYTES)
})

test('nothing waits for an event: environments start and go where none can be written', async () => {
  const store = storeWith(() => life.store(), {
    create: draft => (draft.kind === 'Event' ? new Promise(() => undefined) : life.store().create(draft)),
  })
  const { entrances } = await life.launch({ store })
  const created = await life.create()
  expect(await say(entrances, created, 'echo in')).toBe('in\n')
  await life.running(created, 1)
  await life.remove(created)
  await life.until(created, found => found === undefined)
})
