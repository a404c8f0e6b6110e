// Control groups of version 2 alone, which the host of the other tests may not have.
import { expect, test } from 'vitest'
import { lacking, titled } from '../support/requirements.ts'
import { runInVm } from '../support/vm.ts'
import { readFound } from './found.ts'

const MINUTES = 30

type Found = { readonly governed?: Record<string, unknown> } & Record<string, string[]>
const reason =
  process.arch === 'x64'
    ? lacking({ root: true, programs: ['qemu-system-x86_64', 'mmdebstrap', 'mkfs.ext4'] })
    : 'the machine is an amd64 one'

test.skipIf(reason !== undefined)(
  titled('a sandbox under version 2 of control groups has its own, and engines in it work', reason),
  { timeout: 2 * MINUTES * 60_000 },
  async () => {
    const said = await runInVm('bothy/test/vm/guest.ts', MINUTES * 60_000)
    process.stderr.write(said)
    const { governed, ...found } = (readFound(said) ?? {}) as Found
    expect(found['groups']).toEqual(['0::/work', '0::/session', '0::/work'])
    expect(governed).toEqual({
      seen: [true, 2 ** 30],
      tightened: ['200', '10000', '50', '150000 100000', '50000 100000', '1'],
      // Who comes first within it stays.
      released: ['100', '10000', '50', 'max 100000', 'max 100000', '0'],
      again: ['0::/session'],
      moved: ['work', true],
      afterDeath: ['10000 100000', '1', 'max 100000', '0'],
    })
    const dividing = ['cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads']
    expect(found['settings']?.map(file => file.replace('/sys/fs/cgroup/', ''))).toEqual(
      ['session', 'work'].flatMap(group => dividing.map(name => `${group}/${name}`)),
    )
    const [memory, pids, descendants, controllers] = found['limits'] ?? []
    expect([memory, pids, descendants]).toEqual([String(2 ** 30), '1024', '2000'])
    expect(controllers?.split(' ')).toEqual(expect.arrayContaining(['cpu', 'memory', 'pids']))
    expect(found['writable']?.map(file => file.replace('/sys/fs/cgroup/', ''))).toEqual([
      ...['cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads', 'memory.oom.group', 'memory.reclaim'],
    ])
    expect(found['divided']).toEqual([String(64 * 2 ** 20)])
    expect(found['docker']).toEqual(['overlay2 2', 'run', String(64 * 2 ** 20), 'privileged', 'built'])
    expect(found['podman']).toEqual(['run'])
    // All but the group that it is in and those that engines have left.
    expect(Number(found['most']?.[0])).toBeGreaterThan(1900)
    expect(Number(found['most']?.[0])).toBeLessThan(2000)
    expect(found['left']).toEqual([])
  },
)
