// Memory with version 2 of control groups, which the host of the other tests may not have.
import { expect, test } from 'vitest'
import { lacking, titled } from '../support/requirements.ts'
import { runInVm } from '../support/vm.ts'
import { readAnswer } from './answer.ts'

const MINUTES = 30
const MIB = 2 ** 20

const reason =
  process.arch === 'x64'
    ? lacking({ root: true, programs: ['qemu-system-x86_64', 'mmdebstrap', 'mkfs.ext4'] })
    : 'the machine is an amd64 one'

test.skipIf(reason !== undefined)(
  titled(
    'under version 2 of control groups, memory is limited, protected, pushed out and given back',
    reason,
  ),
  { timeout: 2 * MINUTES * 60_000 },
  async () => {
    const { said, answer } = await runInVm('bothy/test/vm/memory-guest.ts', MINUTES * 60_000)
    process.stderr.write(`${said}\n${answer}\n`)
    const found = readAnswer(answer)
    const text = (mebibytes: number) => String(mebibytes * MIB)
    expect(found).toMatchObject({
      abilities: { reclaim: true, freeze: true, holdKiller: false },
      started: [text(256), text(256)],
      set: [text(192), text(192), text(48), text(48), text(48)],
      killer: 'unsupported',
      ended: { signal: 'SIGKILL' },
      answers: true,
      sample: { lastShot: { name: expect.stringMatching(/^(bomb|perl)$/) } },
      swaps: 0,
    })
    expect(found['before']).toBeGreaterThan(100 * MIB)
    const { swap } = found['abilities'] as { swap: string }
    if (swap === 'zram') expect(found['after']).toBeLessThan(40 * MIB)
  },
)
