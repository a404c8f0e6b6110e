import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { titled } from '../../../test/support/requirements.ts'
import { systemClock } from '../../lib/clock.ts'
import { runProcess } from '../../lib/run-process.ts'
import { openBackground } from './background.ts'
import { detectCgroups, hierarchyOf, makeCgroup, removeCgroup, shareControllers } from './cgroups.ts'
import { layoutOf } from './layout.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('work in the background', why), () => {
  const layout = layoutOf(testShortId(), '/nowhere')
  const group = `/bothy-${layout.shortId}/jobs`
  afterEach(async () => removeCgroup(await detectCgroups(), `/bothy-${layout.shortId}`, systemClock))

  test('is in a group of its own from the first moment, with all that it starts', async () => {
    const cgroups = await detectCgroups()
    await makeCgroup(cgroups, group, 'all')
    await shareControllers(cgroups, `/bothy-${layout.shortId}`)
    const background = await openBackground(layout, cgroups, systemClock)
    const script = 'cat /proc/self/cgroup; (cat /proc/self/cgroup)& wait; cat "$1"'
    const ran = await runProcess(background.after(['/bin/sh', '-c', script, 'sh', '/proc/self/cgroup']))
    expect(ran).toMatchObject({ code: 0, stderr: '' })
    const controller = cgroups.mode === 'v2' ? '' : 'cpu'
    const lines = ran.stdout.split('\n').filter(line => line.split(':')[1]?.split(',').includes(controller))
    expect(lines).toHaveLength(3)
    for (const line of lines) expect(line.split(':')[2]).toBe(group)
    const root = hierarchyOf(cgroups, 'cpu')
    const weight = readFileSync(
      `${root}${group}/${cgroups.mode === 'v2' ? 'cpu.weight' : 'cpu.shares'}`,
      'utf8',
    )
    expect(Number(weight)).toBe(cgroups.mode === 'v2' ? 10 : 102)
  })

  test('ends as the program does', async () => {
    const background = await openBackground(layout, await detectCgroups(), systemClock)
    expect((await runProcess(background.after(['/bin/sh', '-c', 'exit 7']))).code).toBe(7)
    const missing = await runProcess(background.after(['/no/such/program']))
    expect(missing).toMatchObject({ code: 127, stderr: '/no/such/program: No such file or directory\n' })
  })

  test('is done by two at a time', async () => {
    const background = await openBackground(layout, await detectCgroups(), systemClock)
    const ends = [1, 2, 3].map(() => Promise.withResolvers<void>())
    let most = 0
    let now = 0
    const all = ends.map(({ promise }) =>
      background.run(async () => {
        now += 1
        most = Math.max(most, now)
        await promise
        now -= 1
      }, new AbortController().signal),
    )
    await expect.poll(() => now).toBe(2)
    for (const { resolve } of ends) resolve()
    await Promise.all(all)
    expect(most).toBe(2)
  })
})
