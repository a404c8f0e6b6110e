// Limits of disks with version 2 of control groups, which the host of the other tests may not have.
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
  titled('under version 2 of control groups, what a sandbox writes is held to its limit, and let go', reason),
  { timeout: 2 * MINUTES * 60_000 },
  async () => {
    const { said, answer } = await runInVm('bothy/test/vm/io-guest.ts', MINUTES * 60_000)
    process.stderr.write(`${said}\n${answer}\n`)
    const found = readAnswer(answer)
    expect(found).toMatchObject({
      abilities: { ioLimits: true },
      tightened: expect.stringMatching(new RegExp(`^\\d+ .*wbps=${4 * MIB} `)),
      loosened: '',
      released: '',
    })
    expect(found['written']).toBeGreaterThan(70 * MIB)
    // 40 MiB at 4 MiB a second, less what the kernel lets pass before it counts.
    expect(found['heldMs']).toBeGreaterThan(6_000)
  },
)
