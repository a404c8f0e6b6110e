// A machine whose disks are folders, as people see it: the same, but for how long a copy takes.
import { readFileSync, statfsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { detectCgroups } from '../../src/adapters/linux/cgroups.ts'
import { freezerOf } from '../../src/adapters/linux/freezer.ts'
import { processes } from '../fault/processes.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { titled } from '../support/requirements.ts'
import { openStack, STACKS, type Stack } from '../support/stack.ts'

// statfs(2)
const OVERLAYFS = 0x794c7630
// A disk that is a folder cannot be the upper side of an overlay on an overlay.
const isOnOverlay = statfsSync(STACKS).type === OVERLAYFS
const why = whyNoSandboxes() ?? (isOnOverlay ? `${STACKS} is on an overlay` : undefined)

describe.skipIf(why !== undefined)(titled('disks that are folders', why), () => {
  let stack: Stack
  const inside = (name: string, script: string) => stack.ok(['exec', name, '--', 'sh', '-c', script])
  const look = 'cat /workspaces/file /usr/local/bin/tool'
  const below = (...names: string[]) => readdir(join(stack.dataDir, 'host', ...names))

  beforeAll(async () => {
    // A port of its own: the next runner finds its server where the last one did.
    const args = ['--listen', `127.0.0.1:${20_000 + (process.pid % 10_000)}`]
    stack = await openStack({ runner: () => ({ disks: 'directory' }), args })
    await stack.ok('env create --name parent')
    await inside('parent', 'echo one > /workspaces/file; echo tool > /usr/local/bin/tool')
  }, 300_000)
  afterAll(() => stack?.close())
  afterEach(async () => {
    await stack.bothy('env delete child')
    await stack.bothy('snapshot delete kept')
  })

  test('are what the doctor warns of', async () => {
    const said = (await stack.bothy(['doctor', '--data', stack.dataDir])).stdout
    expect(said).toMatch(/disks: a folder each: no size limit, .*\n {4}runner\.yaml says so/)
    expect(await below()).toEqual(expect.arrayContaining(['disks', 'environments', 'snapshots']))
    expect(await below()).not.toContain('pool.xfs')
  })

  test('are forked while their environment runs, and when it is stopped', async () => {
    await stack.ok('env fork parent --name child')
    await inside('child', 'echo two > /workspaces/file')
    expect([await inside('parent', look), await inside('child', look)]).toEqual(['one\ntool', 'two\ntool'])
    await stack.ok('env delete child')
    await stack.ok('env stop parent')
    await stack.ok('env fork parent --name child')
    await stack.ok('env start parent')
    expect([await inside('parent', look), await inside('child', look)]).toEqual(['one\ntool', 'one\ntool'])
  })

  test('are kept in snapshots, which outlive their environment', async () => {
    await stack.ok('env fork parent --name child')
    await stack.ok('snapshot create child --name kept')
    await stack.ok('env delete child')
    const { status } = await stack.get('Snapshot', 'kept')
    expect(status).toMatchObject({ phase: 'Ready', size: '2Gi' })
    await stack.ok('env create --snapshot kept --name child')
    await stack.ok('snapshot delete kept')
    expect(await inside('child', look)).toBe('one\ntool')
    expect(await below('snapshots')).toEqual([])
  })

  test('are let go when the runner is killed in the middle of a copy, which the next one makes', async () => {
    await inside(
      'parent',
      'mkdir /workspaces/many; cd /workspaces/many; for i in $(seq 20000); do echo $i >$i; done',
    )
    const parent = (await stack.get('Environment', 'parent')).metadata.uid
    const isCopying = () =>
      processes().some(({ argv }) => argv[0] === 'cp' && argv.join(' ').includes(parent))
    const group = freezerOf(await detectCgroups(), `/bothy-${await stack.shortId()}/${parent}`)
    const isHeld = () => /^frozen 1$/m.test(readFileSync(join(group, 'cgroup.events'), 'utf8'))
    const manifest = {
      ...{ apiVersion: 'bothy.dev/v1alpha1', kind: 'Environment', metadata: { name: 'child' } },
      spec: { class: 'small', content: { environment: { name: 'parent' } } },
    }
    await stack.ok('apply -f -', { stdin: JSON.stringify(manifest) })
    await vi.waitFor(() => expect(isCopying()).toBe(true), { timeout: 20_000, interval: 2 })
    expect(isHeld()).toBe(true)
    process.kill(stack.up.child.pid as number, 'SIGKILL')
    await stack.up.result
    await expect.poll(() => [isCopying(), isHeld()]).toEqual([false, false])
    await stack.start()
    await stack.until('Environment', 'child', found => found?.status.phase === 'Running')
    expect(await inside('child', 'ls /workspaces/many | wc -l; tail -n 1 /workspaces/many/20000')).toBe(
      '20000\n20000',
    )
    const child = (await stack.get('Environment', 'child')).metadata.uid
    expect((await below('environments', child)).filter(name => name.startsWith('disk'))).toEqual(['disk'])
    expect(await inside('parent', 'echo on')).toBe('on')
  }, 120_000)
})
