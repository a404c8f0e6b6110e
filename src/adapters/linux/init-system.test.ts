// Images whose first process is an init system, as those of whole machines are.
import { mkdtemp, rm } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { lacking, titled } from '../../../test/support/requirements.ts'
import { toolsImage } from '../../../test/support/tools-image.ts'
import type { Sandbox, UnpackedImage } from '../../core/driver.ts'
import { systemClock } from '../../lib/clock.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { createLinuxDriver, type LinuxDriver } from './driver.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['mmdebstrap'] })

const SERVICE = `[Service]
ExecStart=/bin/sleep infinity
ExecStop=/bin/sh -c 'echo stopped >/workspaces/said'
[Install]
WantedBy=multi-user.target
`

describe.skipIf(reason !== undefined)(titled('systemd in a sandbox', reason), () => {
  const shortId = testShortId()
  const id = uuidv7()
  let dir: string
  let image: UnpackedImage
  let driver: LinuxDriver
  const signal = () => AbortSignal.timeout(60_000)
  const start = (epoch: number): Promise<Sandbox> =>
    driver.ensure(
      { id, name: 'calm-otter', epoch, image, env: {}, memoryBytes: 2 ** 30, pids: 1024 },
      signal(),
    )
  const sh = async (sandbox: Sandbox, script: string) => {
    const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script] }, signal())
    stream.stdin.end()
    const [out] = await Promise.all([text(stream.stdout), text(stream.stderr!), stream.exit])
    return out.trim()
  }
  // Degraded: some mounts of the kernel's debuggers are not for it.
  const BOOTED = 'systemctl is-system-running --wait 2>/dev/null | grep -cE "^(running|degraded)$"'

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-init-')
    image = { ...(await toolsImage()), init: ['/lib/systemd/systemd'] }
    driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
    await driver.prepare(signal())
    await driver.ensureDisk(id, 2 ** 30, signal())
  }, 900_000)
  afterAll(async () => {
    await driver.destroy(id)
    await driver.teardown()
    await driver.close()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })

  test('boots, runs services in groups of their own, and is shut down in order', async () => {
    const sandbox = await start(1)
    // At once: what has not waited for the boot must see it, too.
    expect(
      await sh(
        sandbox,
        `for i in $(seq 100); do [ -S /run/systemd/private ] && break; sleep 0.1; done; ${BOOTED}`,
      ),
    ).toBe('1')
    expect(await sh(sandbox, 'cat /proc/1/comm; hostname; systemctl is-active dbus docker')).toBe(
      'systemd\ncalm-otter\nactive\nactive',
    )
    const enable =
      'systemctl daemon-reload; systemctl enable --now mine 2>/dev/null; systemctl is-active mine'
    expect(await sh(sandbox, `printf '%s' "${SERVICE}" >/etc/systemd/system/mine.service; ${enable}`)).toBe(
      'active',
    )
    expect(
      await sh(
        sandbox,
        'grep -o "/system.slice/mine.service" /proc/$(systemctl show -P MainPID mine)/cgroup | sort -u',
      ),
    ).toBe('/system.slice/mine.service')
    const begun = systemClock.now()
    await sandbox.stop(20_000)
    expect(systemClock.now() - begun).toBeLessThan(15_000)
    const again = await start(2)
    expect(
      await sh(
        again,
        `for i in $(seq 100); do systemctl is-active -q mine && break; sleep 0.1; done; cat /workspaces/said`,
      ),
    ).toBe('stopped')
  })

  test('ends with the machine that is switched off inside', async () => {
    const sandbox = (await driver.find(id))!
    await sh(sandbox, 'systemctl --no-block poweroff')
    expect(await sandbox.ended).toBeDefined()
    expect(await driver.find(id)).toBeUndefined()
  })
})
