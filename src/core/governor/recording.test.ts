// A history as it was: twelve environments begin to compile on two processors while somebody types in another, who then
// starts a build of her own. See testdata/README.md.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { cpu } from './cpu.ts'
import type { Sense } from './governor.ts'
import { jobs } from './jobs.ts'
import { parseRecording, type ReplayedRound, replay } from './recording.ts'

const file = gunzipSync(readFileSync(new URL('testdata/crowd.jsonl.gz', import.meta.url))).toString('utf8')
const rounds = replay([jobs, cpu], parseRecording(file))
const beganMs = rounds[0]?.sense.host.atMs ?? 0
const nameOf = (sense: Sense, id: string) => sense.terms.get(id)?.name
const between = (fromS: number, toS: number) =>
  rounds.filter(({ sense }) => {
    const atS = (sense.host.atMs - beganMs) / 1000
    return atS >= fromS && atS < toS
  })
const limitsIn = ({ sense, now }: ReplayedRound) =>
  now.flatMap(({ act }) => (act.kind === 'cpu' ? [{ name: nameOf(sense, act.id), ...act.limits }] : []))
const isPerson = ({ name }: { name: string | undefined }) => name === 'machine-0'

test('each round decides about everybody there', () => {
  expect(rounds).toHaveLength(200)
  for (const round of rounds) expect(limitsIn(round)).toHaveLength(round.sense.host.environments.size)
})

test('whoever types comes first all along, also while her own build is held', () => {
  for (const round of rounds) expect(limitsIn(round).find(isPerson)?.weight ?? 10_000).toBe(10_000)
  expect(between(36, 50).map(round => limitsIn(round).find(isPerson)?.workCores)).toContainEqual(
    expect.any(Number),
  )
})

test('hogs weigh little together, however many there are', () => {
  for (const round of between(14, 43)) {
    const hogs = limitsIn(round).filter(each => !isPerson(each))
    // Some rest between two compilations, and are quiet for a moment.
    const busy = hogs.filter(({ weight }) => weight < 10_000)
    expect(busy.reduce((sum, { weight }) => sum + weight, 0)).toBeLessThanOrEqual(5_300)
  }
})

test('meters leave no processor idle, and take no more than there is', () => {
  for (const round of between(20, 50)) {
    const held = limitsIn(round).reduce((sum, { workCores = 0 }) => sum + workCores, 0)
    expect(held).toBeLessThanOrEqual(2.3)
  }
})

test('builds are work within seconds of their beginning, and the shell beside them is not', () => {
  const moves = rounds.flatMap(({ sense, now }) =>
    now.flatMap(({ act }) => {
      if (act.kind !== 'move') return []
      const job = sense.jobs.find(each => each.group === act.group)
      const atS = (sense.host.atMs - beganMs) / 1000
      return [{ atS, machine: nameOf(sense, act.id), job: job?.name, to: act.to }]
    }),
  )
  expect(moves.filter(({ job }) => job !== 'sh' && job !== 'make')).toEqual([])
  expect(new Set(moves.map(({ machine }) => machine)).size).toBeGreaterThanOrEqual(9)
  // Two seconds after its beginning. When it was recorded it took longer, so it is decided again until it was moved.
  const own = moves.filter(({ machine }) => machine === 'machine-0')
  expect(own[0]?.atS).toBeLessThan(32.5)
  expect(new Set(own.map(({ to }) => to))).toEqual(new Set(['work']))
})
