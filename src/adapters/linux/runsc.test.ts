import { expect, test } from 'vitest'
import { judgeGvisor } from './health.ts'
import { parseLoaded } from './inside-tools.ts'
import { layoutOf } from './layout.ts'
import { runscConfig } from './runsc.ts'
import { parseRunsc } from './runsc-program.ts'
import { Runtimes } from './runtimes.ts'

const OLD = `  -platform string
    \tspecifies which platform to use: ptrace (default), kvm. (default "ptrace")
  -platform_device_path string
    \tpath to a platform-specific device file.
  -profile
    \tprepares the sandbox to use Golang profiler.
`
const NEW = `  -directfs
    \tdirectly access the container filesystems from the sentry. (default true)
  -overlay2 value
    \twrap mounts with overlayfs.
  -platform string
    \tspecifies which platform to use: systrap (default), ptrace, kvm. (default "systrap")
`

test.each([
  ['0.0~20221219.0', OLD, 'ptrace', false],
  ['release-20240729.0', NEW, 'systrap', true],
])('of runsc %s, what it can do is known from what it says', (version, flags, platform, directfs) => {
  const program = parseRunsc('/usr/bin/runsc', `runsc version ${version}\nspec: 1.0.2-dev\n`, flags)
  expect(program).toMatchObject({ version, platform })
  expect([program.flags.has('directfs'), program.flags.has('platform')]).toEqual([directfs, true])
})

test('what perl needs is known from what its loader says', () => {
  const said = `\tlinux-vdso.so.1 (0x00007f9da1ab7000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f9da17e3000)
\tlibcrypt.so.1 => /lib/x86_64-linux-gnu/libcrypt.so.1 (0x00007f9da17a7000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f9da1ab9000)
`
  expect(parseLoaded(said)).toEqual({
    loader: '/lib64/ld-linux-x86-64.so.2',
    libraries: ['/lib/x86_64-linux-gnu/libc.so.6', '/lib/x86_64-linux-gnu/libcrypt.so.1'],
  })
  expect(() => parseLoaded('\tstatically linked\n')).toThrow('its loader is not named')
})

test('of a config, what gVisor would refuse or what is its own business is left out', () => {
  const config = runscConfig(
    {
      hostname: 'calm-otter',
      rootfs: '/rootfs',
      process: { argv: ['/init'], env: [], cwd: '/', uid: 0, gid: 0, maxOpenFiles: 1024 },
      slot: { number: 3, idBase: 1_879_834_624, address: '10.0.0.2', hostAddress: '10.0.0.1' },
      cgroupsPath: '/group',
      mounts: [
        { source: '/host/workspaces', target: '/workspaces' },
        { source: '/host/fuse', target: '/dev/fuse', isDevice: true },
      ],
      memoryBytes: 1,
      pids: 1,
      arch: 'x64',
      compiledFilter: 'AAAA',
    },
    '/run/inside',
  ) as {
    process: { capabilities: { bounding: string[] } }
    mounts: { destination: string; options: string[] }[]
    linux: object
  }
  expect(config).not.toHaveProperty('annotations')
  expect(Object.keys(config.linux).sort()).toEqual(['gidMappings', 'namespaces', 'uidMappings'])
  expect(config.linux).toMatchObject({ uidMappings: [{ containerID: 0, hostID: 1_879_834_624 }] })
  expect(config.process.capabilities.bounding).toContain('CAP_SYS_ADMIN')
  expect(config.process.capabilities.bounding).not.toContain('CAP_BPF')
  const targets = config.mounts.map(({ destination }) => destination)
  expect(targets).toEqual(expect.arrayContaining(['/proc', '/workspaces', '/dev/.bothy']))
  expect(targets.filter(each => /fuse|cgroup|mqueue/.test(each))).toEqual([])
})

test('doctor says how gVisor comes, and that an old one is not enough for newer programs', () => {
  const program = {
    path: '/usr/bin/runsc',
    version: '1',
    platform: 'systrap',
    flags: new Set<string>(),
  } as const
  expect(judgeGvisor(undefined)).toMatchObject({
    ok: false,
    required: false,
    hint: expect.stringContaining('apt-get install runsc'),
  })
  expect(judgeGvisor({ ...program, platform: 'ptrace' })).toMatchObject({
    ok: false,
    hint: expect.stringContaining('backports'),
  })
  expect(judgeGvisor(program)).toEqual({
    name: 'gvisor',
    ok: true,
    required: false,
    found: 'runsc 1, systrap',
  })
})

test('isolations and devices that do not go together are refused', async () => {
  const runtimes = new Runtimes(layoutOf('tnone1', '/nowhere', 'image'))
  const image = { reference: 'a', digest: 'b', layers: [], env: [], workingDir: '/', user: '' }
  const spec = { id: 'a', name: 'a', epoch: 1, image, env: {}, memoryBytes: 1, pids: 1 }
  expect((await runtimes.choose(spec)).isolation).toBe('userns')
  const able = (await runtimes.list()).includes('gvisor')
  const wanted = { ...spec, isolation: 'gvisor', devices: ['a.test/gpu=0'] } as const
  await expect(runtimes.choose(wanted)).rejects.toMatchObject(
    able
      ? { reason: 'unsupported', code: 'isolation-devices', hint: expect.stringContaining('userns') }
      : { reason: 'unavailable', code: 'isolation-absent', hint: expect.stringContaining('doctor') },
  )
})
