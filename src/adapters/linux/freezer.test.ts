import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { titled } from '../../../test/support/requirements.ts'
import { systemClock } from '../../lib/clock.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { type Cgroups, detectCgroups, makeCgroup, removeCgroup } from './cgroups.ts'
import { Freezer } from './freezer.ts'
import { cgroupPath, layoutOf } from './layout.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('who is held up', why), () => {
  const layout = layoutOf(testShortId(), '/nowhere')
  let cgroups: Cgroups
  let id: ReturnType<typeof uuidv7>
  let freezer: Freezer
  let guarded: Map<string, string>

  beforeEach(async () => {
    cgroups = await detectCgroups()
    id = uuidv7()
    await makeCgroup(cgroups, cgroupPath(layout, id), 'all')
    guarded = new Map()
    freezer = new Freezer(cgroups, layout)
    freezer.guard = {
      hold: async (file, value) => void guarded.set(file, value),
      drop: async file => void guarded.delete(file),
    }
  })
  afterEach(() => removeCgroup(cgroups, cgroupPath(layout, ''), systemClock))

  const isHeld = () => {
    const path = cgroupPath(layout, id)
    const unified = join(cgroups.unified ?? '', path, 'cgroup.freeze')
    if (existsSync(unified)) return readFileSync(unified, 'utf8').trim() === '1'
    const state = join(cgroups.controllers.get('freezer') ?? '', path, 'freezer.state')
    return readFileSync(state, 'utf8').trim() !== 'THAWED'
  }
  const at = () => [isHeld(), guarded.size]

  test('for want of room and by a governor goes when both are over', async () => {
    await freezer.hold(id, 'room', true)
    // It waits for the next runner: the disk is full whether there is one or not.
    expect(at()).toEqual([true, 0])
    await freezer.hold(id, 'idle', true)
    expect(at()).toEqual([true, 0])
    await freezer.hold(id, 'room', false)
    expect(at()).toEqual([true, 1])
    await freezer.hold(id, 'memory', true)
    await freezer.hold(id, 'idle', false)
    expect(at()).toEqual([true, 1])
    await freezer.hold(id, 'memory', false)
    expect(at()).toEqual([false, 0])
  })

  test('is woken by whoever comes, but for want of room', async () => {
    await freezer.hold(id, 'idle', true)
    await freezer.wake(id)
    expect(at()).toEqual([false, 0])
    await freezer.hold(id, 'idle', true)
    await freezer.hold(id, 'room', true)
    await freezer.wake(id)
    expect(at()).toEqual([true, 0])
    await freezer.hold(id, 'room', false)
    expect(at()).toEqual([false, 0])
  })

  test('is let go to end, and not held again until it has', async () => {
    await freezer.hold(id, 'room', true)
    await freezer.ending(id, true)
    expect(isHeld()).toBe(false)
    await freezer.hold(id, 'room', true)
    await freezer.hold(id, 'memory', true)
    expect(at()).toEqual([false, 0])
    await freezer.ending(id, false)
    await freezer.hold(id, 'memory', true)
    expect(isHeld()).toBe(true)
    // What was said meanwhile was about the one that has ended.
    await freezer.hold(id, 'memory', false)
    expect(isHeld()).toBe(false)
  })
})
