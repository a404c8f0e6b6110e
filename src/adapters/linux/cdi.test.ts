// CDI devices, given to sandboxes by made-up specs: a node that is /dev/zero under another name, a mount, variables.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { testImage } from '../../../test/support/image.ts'
import { titled } from '../../../test/support/requirements.ts'
import type { Sandbox, UnpackedImage } from '../../core/driver.ts'
import { systemClock } from '../../lib/clock.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { numbersOf } from './cdi.ts'
import { parseSpec } from './cdi-spec.ts'
import { createLinuxDriver, type LinuxDriver } from './driver.ts'

const NO_HOOKS = { hooks: false }
const spec = (edits: object, more: object = {}) =>
  JSON.stringify({
    cdiVersion: '0.6.0',
    kind: 'acme.test/thing',
    devices: [{ name: 'one', containerEdits: edits }],
    ...more,
  })
const why = (edits: object, permits = NO_HOOKS) => parseSpec(spec(edits), permits)[0]?.refused

test('reads specs in JSON and YAML, and says what is wrong with one', () => {
  const yaml = `
cdiVersion: 0.6.0
kind: vendor.com/gpu
containerEdits: { env: [COMMON=1] }
devices:
  - name: 0
    containerEdits: { deviceNodes: [{ path: /dev/gpu0 }] }
  - name: all
`
  expect(parseSpec(yaml, NO_HOOKS).map(each => [each.name, each.refused])).toEqual([
    ['vendor.com/gpu=0', undefined],
    ['vendor.com/gpu=all', undefined],
  ])
  expect(() => parseSpec('cdiVersion: 0.6.0\nkind: nothing\ndevices: []', NO_HOOKS)).toThrow(
    /vendor.com\/class/,
  )
  expect(() => parseSpec(spec({}, { cdiVersion: '2.0.0' }), NO_HOOKS)).toThrow(/version/)
  expect(() => parseSpec(spec({ surprise: true }), NO_HOOKS)).toThrow(/surprise/)
})

test('offers nothing that would be a hole in the walls', () => {
  const node = (path: string, more: object = {}) => why({ deviceNodes: [{ path, ...more }] })
  const mount = (hostPath: string, containerPath = '/opt/x', more: object = {}) =>
    why({ mounts: [{ hostPath, containerPath, ...more }] })
  const hook = (hookName: string, permits = { hooks: true }) =>
    why({ hooks: [{ hookName, path: '/usr/bin/hook' }] }, permits)
  expect(node('/dev/acme')).toBeUndefined()
  expect(node('/dev/sda', { type: 'b' })).toMatch(/no character device/)
  expect(node('/dev/x', { hostPath: '/dev/mem' })).toMatch(/whole host/)
  expect(node('/dev/x', { hostPath: '/dev/../dev/kmsg' })).toMatch(/whole host/)
  expect(node('/etc/x')).toMatch(/below \/dev/)
  expect(mount('/usr/lib/acme')).toBeUndefined()
  for (const path of ['/', '/etc/', '/run/bothy/slots', '/usr/..']) expect(mount(path), path).toMatch(/shows/)
  for (const path of ['/proc', '/sys/fs', '/dev/.bothy-init', '/workspaces/'])
    expect(mount('/opt/a', path), path).toMatch(/mounts something/)
  expect(mount('/opt/a', '/opt/a', { type: 'proc' })).toMatch(/type proc/)
  expect(mount('/opt/a', '/opt/a', { options: ['rshared'] })).toMatch(/shares/)
  expect(hook('createContainer')).toBeUndefined()
  expect(hook('createContainer', NO_HOOKS)).toMatch(/runner.yaml/)
  expect(hook('createRuntime')).toMatch(/only createContainer/)
  expect(why({ intelRdt: {} })).toMatch(/intelRdt/)
  expect(why({ netDevices: [{ hostInterfaceName: 'eth0', name: 'x' }] })).toMatch(/network/)
  expect(why({ additionalGids: [2 ** 31] })).toMatch(/group/)
})

test('knows the two numbers of a device', () => {
  expect(numbersOf(0x0103)).toEqual({ major: 1, minor: 3 })
  expect(numbersOf(Number((511n << 8n) | 0x45n | (0x1234n << 20n)))).toEqual({ major: 511, minor: 0x123445 })
})

const reason = whyNoSandboxes()
describe.skipIf(reason !== undefined)(titled('a sandbox with devices', reason), () => {
  const shortId = testShortId()
  const id = uuidv7()
  let dir: string
  let cdi: string
  let image: UnpackedImage
  let driver: LinuxDriver
  let epoch = 0
  const signal = () => AbortSignal.timeout(60_000)
  const start = async (devices: readonly string[]): Promise<Sandbox> => {
    await driver.ensureDisk(id, 2 ** 30, signal())
    const base = { id, name: 'devices', image, env: {}, memoryBytes: 2 ** 30, pids: 512 }
    return driver.ensure({ ...base, epoch: ++epoch, devices }, signal())
  }
  const sh = async (sandbox: Sandbox, script: string, user = 'root') => {
    const stream = await sandbox.exec({ argv: ['/bin/bash', '-c', script], user }, signal())
    stream.stdin.end()
    const [out] = await Promise.all([text(stream.stdout), stream.stderr && text(stream.stderr), stream.exit])
    return out.trim()
  }

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-cdi-')
    cdi = join(dir, 'cdi')
    execFileSync('chmod', ['711', dir])
    await mkdir(join(dir, 'lib'))
    await mkdir(cdi)
    await writeFile(join(dir, 'lib', 'libacme'), 'of the host')
    await writeFile(
      join(cdi, 'acme.yaml'),
      `cdiVersion: 0.6.0
kind: acme.test/thing
containerEdits:
  env: [ACME=yes]
  mounts: [{ hostPath: ${dir}/lib, containerPath: /opt/acme, options: [ro, nosuid, nodev, rbind] }]
devices:
  - name: zeros
    containerEdits:
      env: [ACME_DEVICE=zeros]
      deviceNodes: [{ path: /dev/acme/zeros, hostPath: /dev/zero, permissions: rw, fileMode: 0o660, gid: 4242 }]
      additionalGids: [4242]
  - name: full
    containerEdits:
      deviceNodes: [{ path: /dev/acme/full, hostPath: /dev/full }]
  - name: hooked
    containerEdits:
      hooks: [{ hookName: createContainer, path: /bin/sh, args: [sh, -c, 'id -u > ${dir}/lib/hook; cat /proc/self/uid_map > ${dir}/hooks/said'] }]
  - name: gone
    containerEdits:
      deviceNodes: [{ path: /dev/acme/gone, hostPath: /dev/acme-that-is-not-there }]
`,
    )
    image = await testImage()
    const devices = { dirs: [join(dir, 'nowhere'), cdi], hooks: true }
    driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog, devices })
    await driver.prepare(signal())
  }, 300_000)
  afterAll(async () => {
    for (const each of await driver.list()) await driver.destroy(each)
    await driver.teardown()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })

  test('is given what the spec says, and nothing else of it', async () => {
    expect(await driver.listDevices()).toEqual(
      ['full', 'gone', 'hooked', 'zeros'].map(each => `acme.test/thing=${each}`),
    )
    const sandbox = await start(['acme.test/thing=zeros'])
    expect(
      await sh(
        sandbox,
        'head -c 3 /dev/acme/zeros | od -An -tx1; echo $ACME $ACME_DEVICE; cat /opt/acme/libacme',
      ),
    ).toBe('00 00 00\nyes zeros\nof the host')
    // As another user, through the group that comes with the device.
    expect(
      await sh(sandbox, 'head -c 1 /dev/acme/zeros | wc -c; stat -c "%a %g" /dev/acme/zeros', 'nobody'),
    ).toBe('1\n660 4242')
    expect(
      await sh(sandbox, 'touch /opt/acme/x; mount -o remount,rw,bind /opt/acme && touch /opt/acme/x'),
    ).toBe('')
    expect(existsSync(join(dir, 'lib', 'x'))).toBe(false)
    // The next device has the same numbers but one, and is not there, nor can it be made.
    expect(await sh(sandbox, 'ls /dev/acme; mknod /tmp/full c 1 7 && echo made')).toBe('zeros')
  })

  test('is given several, and what they share once', async () => {
    const sandbox = await start(['acme.test/thing=full', 'acme.test/thing=zeros'])
    expect(
      await sh(
        sandbox,
        'ls /dev/acme; grep -c " /opt/acme " /proc/mounts; echo x 2>&1 > /dev/acme/full || echo full',
      ),
    ).toMatch(/^full\nzeros\n1\n.*full$/s)
  })

  test('runs hooks as one of its own ids, where the operator permits them', async () => {
    await mkdir(join(dir, 'hooks'))
    execFileSync('chmod', ['777', join(dir, 'hooks')])
    const sandbox = await start(['acme.test/thing=hooked'])
    const [inside, outside] = execFileSync('cat', [join(dir, 'hooks', 'said')], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)
    expect(inside).toBe('0')
    expect(Number(outside)).toBeGreaterThan(65_536)
    // The host's root could have written there.
    expect(await sh(sandbox, 'ls /opt/acme')).toBe('libacme')
  })

  test('does not start without a device that it asks for, and says which', async () => {
    for (const [name, message] of [
      ['acme.test/thing=gone', /\/dev\/acme-that-is-not-there/],
      ['acme.test/other=one', /acme.test\/other=one/],
    ] as const) {
      await expect(start([name])).rejects.toMatchObject({
        reason: 'unavailable',
        code: 'device-absent',
        message: expect.stringMatching(message),
      })
    }
  })
})
