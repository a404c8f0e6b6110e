// Memory as people meet it: a bomb is named where they look, an idle environment sleeps and is there at the first word, and
// a host takes no more than it can promise.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasControl } from '../../src/adapters/linux/resources/zram.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { testImage } from '../support/image.ts'
import { titled } from '../support/requirements.ts'
import { openStack, type Stack, testClass } from '../support/stack.ts'

const reason = whyNoSandboxes()
const hasZram = reason === undefined && (await hasControl())

describe.skipIf(reason !== undefined)(titled('memory', reason), () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await openStack({ runner: () => (hasZram ? { swap: 'zram' } : {}) })
    const { reference } = await testImage()
    const classes = [
      testClass('narrow', reference, { memory: '192Mi', suspendAfter: '0' }),
      testClass('sleepy', reference, { memory: '512Mi', suspendAfter: '3s' }),
      testClass('vast', reference, { memory: '4Ti', memoryGuarantee: '4Ti' }),
    ]
    for (const stdin of classes) await stack.ok('apply -f -', { stdin })
    await stack.ok('env create --empty --class narrow --name narrow')
  }, 300_000)
  afterAll(() => stack?.close())

  const eater = (mebibytes: number) => `$0 = "bomb"; $x = "x"; $x x= ${mebibytes} << 20; sleep 600`
  interface EventOnWire {
    readonly type: string
    readonly reason: string
    readonly note: string
    readonly regarding: { readonly name: string }
  }
  const eventsOf = async (name: string, why: string) =>
    (JSON.parse(await stack.ok(['get', 'events', '-o', 'json'])) as { items: EventOnWire[] }).items.filter(
      each => each.regarding.name === name && each.reason === why,
    )

  test('a process that is killed is named: on the terminal, in the status, and as an event', async () => {
    const bomb = stack.open(['exec', 'narrow', '--', 'perl', '-e', eater(1000)])
    const { stderr, code } = await bomb.result
    expect(code).toBe(137)
    const found = await stack.until('Environment', 'narrow', each => each?.status.lastKill !== undefined)
    expect(found?.status.lastKill).toMatchObject({
      process: expect.stringMatching(/^(bomb|perl)$/),
      memory: expect.any(String),
      reason: expect.stringMatching(
        /killed (bomb|perl) \(\d+ MiB\): the environment is at its ceiling of 192 MiB/,
      ),
    })
    await expect
      .poll(() => eventsOf('narrow', 'ProcessKilled'), { timeout: 20_000 })
      .toMatchObject([{ type: 'Warning', note: expect.stringMatching(/killed (bomb|perl) \(\d+ MiB\)/) }])
    // Whoever was there at that moment: a shell that outlives the bomb. Who shoots depends on who had seen it come in.
    const shell = stack.open(['exec', 'narrow', '--', 'sh', '-c', `perl -e '${eater(1000)}'; sleep 3`])
    expect((await shell.result).stderr).toMatch(/^bothy: (the kernel )?killed (bomb|perl) \(\d+ MiB\): /m)
    expect(stderr).not.toContain('internal')
  })

  test('a host that cannot promise what is asked for says so', async () => {
    await stack.ok('env create --empty --class vast --name vast --no-wait')
    const found = await stack.until(
      'Environment',
      'vast',
      each =>
        each?.status.conditions.some(({ type, status }) => type === 'Scheduled' && status === 'False') ===
        true,
    )
    expect(found?.status.conditions.find(({ type }) => type === 'Scheduled')).toMatchObject({
      reason: 'RunnerFull',
      message: expect.stringMatching(
        /^the runner is full: local: 0\.0 of \d+\.\d GiB of memory are promised, 4096\.0 GiB more were asked for$/,
      ),
    })
    const { status } = await stack.get('Runner', 'local')
    expect(status.capacity).toMatchObject({
      memoryRatio: hasZram ? 1.5 : 1,
      diskRatio: 10,
      disk: expect.any(String),
    })
    await stack.ok('env delete vast')
  })

  test('an idle environment sleeps, and answers the first command', async () => {
    await stack.ok('env create --empty --class sleepy --name sleepy')
    const isFrozen = async () => {
      const list = JSON.parse(await stack.ok(['top', '--once', '-o', 'json'])) as {
        items: { metadata: { name: string }; usage: { isFrozen: boolean } }[]
      }
      return list.items.find(({ metadata }) => metadata.name === 'sleepy')?.usage.isFrozen === true
    }
    await expect.poll(isFrozen, { timeout: 60_000, interval: 500 }).toBe(true)
    expect(await stack.ok(['exec', 'sleepy', '--', 'echo', 'awake'])).toBe('awake')
    await expect
      .poll(async () => (await eventsOf('sleepy', 'Suspended')).length, { timeout: 20_000 })
      .toBeGreaterThan(0)
    await expect
      .poll(async () => (await eventsOf('sleepy', 'Resumed')).length, { timeout: 20_000 })
      .toBeGreaterThan(0)
  })
})
