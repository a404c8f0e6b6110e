// Server and runner come and go; environments do not notice.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { findProcess, processesOf } from '../support/processes.ts'
import { titled } from '../support/requirements.ts'
import { hostRemains, openStack, type Stack } from '../support/stack.ts'

const reason = whyNoSandboxes()

describe.skipIf(reason !== undefined)(titled('restarts', reason), () => {
  const marker = `86${randomBytes(3).readUIntBE(0, 3)}`
  let stack: Stack
  let pid: number | undefined

  beforeAll(async () => {
    stack = await openStack()
    await stack.ok('env create --empty --name e')
    const script = `echo kept > /workspaces/x; setsid sleep ${marker} >/dev/null 2>&1 &`
    await stack.ok(['exec', 'e', '--', 'sh', '-c', script])
    pid = await findProcess('sleep', marker)
    expect(pid).toBeDefined()
  })
  afterAll(() => stack?.close())

  const running = (epoch: number) =>
    stack.until(
      'Environment',
      'e',
      found => found?.status.phase === 'Running' && found.status.epoch === epoch,
    )
  const isSame = async () => expect(await findProcess('sleep', marker)).toBe(pid)

  test('SIGTERM ends server and runner, and leaves environments running', async () => {
    expect(await stack.up.end('SIGTERM')).toMatchObject({ code: 0 })
    await isSame()
    expect(await stack.bothy('env list')).toMatchObject({ code: 8 })
    await stack.start()
    await running(1)
    expect(await stack.ok('exec e -- cat /workspaces/x')).toBe('kept')
    await isSame()
  })

  test('a taken port means the next free one, which the context knows and the next start keeps', async () => {
    const { server } = await stack.context()
    const port = Number(new URL(server).port)
    await stack.up.end('SIGINT')
    const squatter = createServer().listen(port, '127.0.0.1')
    await once(squatter, 'listening')
    await stack.start()
    const moved = await stack.context()
    expect(moved.server).not.toBe(server)
    expect(moved.token).not.toBe('')
    await running(1)
    expect(await stack.ok('exec e -- cat /workspaces/x')).toBe('kept')
    // One that was asked for by number is not replaced by another.
    await stack.up.end()
    const { code, stderr } = await stack.bothy([
      ...['up', '--data', stack.dataDir, '--listen', `127.0.0.1:${port}`],
    ])
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/^ {2}hint: ./m)
    squatter.close()
    await once(squatter, 'close')
    await stack.start()
    // Kubeconfigs hold it by now.
    expect((await stack.context()).server).toBe(moved.server)
    await isSame()
  })

  test('a folder has one up at a time', async () => {
    const second = await stack.bothy(['up', '--data', stack.dataDir])
    expect(second).toMatchObject({ code: 5, stderr: expect.stringContaining('bothy down') })
    expect(await stack.ok('exec e -- cat /workspaces/x')).toBe('kept')
  })

  test('of two that start at once on one folder, one does', async () => {
    await stack.up.end()
    const both = [1, 2].map(() => stack.open(['up', '--data', stack.dataDir]))
    const first = await Promise.race(both.map((each, index) => each.result.then(() => index)))
    expect(await both[first]?.result).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('bothy down'),
    })
    await both[1 - first]?.until(/^up {2}/m)
    await running(1)
    expect(await both[1 - first]?.end()).toMatchObject({ code: 0 })
    await stack.start()
    await isSame()
  })

  test('a first environment is made once, and found again', async () => {
    await stack.up.end()
    await stack.start('--hello')
    expect(stack.up.said()).toMatch(/hello is running after .*\(.*content .*\)/)
    expect(await stack.ok('exec hello -- git -C /workspaces/hello log --format=%an')).toBe('Bothy')
    await stack.up.end()
    await stack.start('--hello')
    expect(stack.up.said()).toContain('hello exists')
    await stack.ok('env delete hello')
  })

  test('a configuration that makes no sense is told before anything is changed', async () => {
    await stack.up.end()
    const path = join(stack.dataDir, 'runner.yaml')
    const right = await readFile(path, 'utf8')
    await writeFile(path, 'git: { alow: [10.0.0.0/8] }\n')
    const { code, stderr } = await stack.bothy(['up', '--data', stack.dataDir])
    expect(code).toBe(2)
    expect(stderr).toContain('alow')
    expect(stderr).toContain(path)
    await writeFile(path, right)
    await stack.start()
    await isSame()
  })

  test('down stops environments, server and runner; disks are kept', async () => {
    const { uid } = (await stack.get('Environment', 'e')).metadata
    const down = await stack.bothy(['down', '--data', stack.dataDir])
    expect(down, down.stderr).toMatchObject({ code: 0 })
    expect(down.stderr).toContain('stopping e')
    expect(await stack.up.result).toMatchObject({ code: 0 })
    expect(await processesOf(uid)).toEqual([])
    expect(await findProcess('sleep', marker)).toBeUndefined()
    await stack.start()
    expect((await stack.get('Environment', 'e')).status.phase).toBe('Stopped')
    await stack.ok('env start e')
    await running(2)
    expect(await stack.ok('exec e -- cat /workspaces/x')).toBe('kept')
  })

  test('killed without warning, it can be cleared away, and comes back with all it had', async () => {
    const { uid } = (await stack.get('Environment', 'e')).metadata
    await stack.up.end('SIGKILL')
    expect(await processesOf(uid)).not.toEqual([])
    // Without its parent the server ends by itself, and its database with it.
    const own = async () => (await hostRemains(stack.dataDir)).filter(each => /\/cli\.ts|postgres/.test(each))
    await expect.poll(own, { timeout: 20_000 }).toEqual([])
    expect(await stack.ok(['down', '--all', '--data', stack.dataDir])).toBe('down')
    expect(await hostRemains(stack.dataDir)).toEqual([])
    await stack.start()
    await running(3)
    expect(await stack.ok('exec e -- cat /workspaces/x')).toBe('kept')
  })
})
