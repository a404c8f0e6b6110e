import { expect, test } from 'vitest'
import { Sink } from '../../../test/support/cli.ts'
import type { Resource } from '../../api/resource.ts'
import { createManualClock } from '../../lib/manual-clock.ts'
import { freshStages, openDisplay } from './display.ts'
import { stageTimes, summarizeStages } from './stages.ts'

const at = (ms: number) => new Date(ms).toISOString()
const image = { name: 'image', started: at(0), message: 'pulling\u001b[2J' }
const done = { name: 'disk', started: at(0), ended: at(3) }

/** What a person sees in the end: cursor movements followed, colours left out. */
function screen(bytes: string): string[] {
  const lines: string[] = []
  const plain = bytes.replace(/\u001b\[\d*m/g, '')
  for (const [, up, text] of plain.matchAll(/(?:\r\u001b\[(\d+)A\u001b\[0J)|([^\n]*)\n/g)) {
    if (up !== undefined) lines.splice(lines.length - Number(up))
    else lines.push(text!)
  }
  return lines
}

test('elsewhere each stage is printed once and each sentence once, and a long stage says what it is at', async () => {
  const stderr = new Sink(false)
  const clock = createManualClock(0)
  const display = openDisplay({ stderr, env: {}, clock })
  display.show([], 'waiting for a place')
  display.show([], 'waiting for a place')
  display.show(stageTimes([image]), 'image')
  display.show(stageTimes([{ ...image, message: 'pulling more' }]), 'image')
  await clock.advance(5_000)
  display.show(stageTimes([{ ...image, message: 'unpacking' }]), 'image')
  display.show(stageTimes([{ ...image, message: 'nearly there' }]), 'image')
  display.show(stageTimes([{ ...image, ended: at(5) }, done]), { once: 'sending', live: () => 'never' })
  display.close()
  expect(stderr.bytes.toString()).toBe(
    'waiting for a place\nimage: pulling\\x1b[2J\nimage: unpacking\ndisk …\nsending\n',
  )
})

test('on a terminal stages live while they run, and what is done stays', async () => {
  const stderr = new Sink(true)
  const clock = createManualClock(0)
  let sent = 1
  const display = openDisplay({ stderr, env: { TERM: 'xterm' }, clock })
  display.show([], { once: 'sending', live: () => `sending ${sent} B` })
  expect(screen(stderr.bytes.toString())).toEqual([expect.stringMatching(/^⠋ sending 1 B +0 ms$/)])
  sent = 2
  await clock.advance(100)
  expect(screen(stderr.bytes.toString())).toEqual([expect.stringMatching(/^⠙ sending 2 B +100 ms$/)])
  display.show(stageTimes([image, done]), '')
  expect(screen(stderr.bytes.toString())).toEqual([
    expect.stringMatching(/^⠙ image {2}pulling\\x1b\[2J +100 ms$/),
    expect.stringMatching(/^✓ disk +3 ms$/),
  ])
  display.note('the server does not answer')
  display.close()
  expect(screen(stderr.bytes.toString())).toEqual([
    'the server does not answer',
    expect.stringMatching(/^✓ disk +3 ms$/),
  ])
})

test('the summary names what has ended', () => {
  expect(summarizeStages([image, done, { name: 'start', started: at(0), ended: at(1500) }])).toBe(
    'disk 3 ms, start 1.50 s',
  )
  expect(summarizeStages([{ name: 'x', started: 'no time', ended: at(0) }])).toBe('')
})

test('a stage that failed is no success', () => {
  const stderr = new Sink(true)
  const display = openDisplay({ stderr, env: { TERM: 'xterm' }, clock: createManualClock(0) })
  const condition = {
    status: 'False',
    reason: 'RegistryUnreachable',
    message: 'm',
    lastTransitionTime: at(5),
  }
  const environment = {
    metadata: { generation: 1 },
    status: {
      observedGeneration: 1,
      stages: [{ ...image, ended: at(2) }, done],
      conditions: [
        { ...condition, type: 'Ready', fault: 'unavailable' },
        { ...condition, type: 'ImageReady' },
      ],
    },
  } as unknown as Resource<'Environment'>
  display.show(freshStages(environment), '')
  display.close()
  expect(screen(stderr.bytes.toString())).toEqual([
    expect.stringMatching(/^✗ image +2 ms$/),
    expect.stringMatching(/^✓ disk +3 ms$/),
  ])
})
