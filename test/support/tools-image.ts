// An image with what people run in a machine of their own: container engines, FUSE, debuggers, an init system.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { readRecipe } from '../../src/adapters/oci-images/bootstrap.ts'
import { diskUsage } from '../../src/adapters/oci-images/growth.ts'
import { ImageFolder } from '../../src/adapters/oci-images/image-folder.ts'
import { DPKG_OPTIONS, sourceLine } from '../../src/adapters/oci-images/recipe.ts'
import type { UnpackedImage } from '../../src/core/driver.ts'
import { mustRun } from '../../src/lib/run-process.ts'
import { hostSuite, testCacheDir } from './image.ts'

/** Its packages. */
export const TOOLS = [
  ...['bash', 'ca-certificates', 'curl', 'git', 'iproute2', 'iputils-ping', 'kmod', 'less', 'netcat-openbsd'],
  ...['procps', 'sudo', 'util-linux', 'busybox-static', 'attr', 'libcap2-bin'],
  ...['docker.io', 'docker-compose', 'iptables', 'nftables'],
  ...['podman', 'crun', 'catatonit', 'fuse-overlayfs', 'slirp4netns', 'uidmap', 'bubblewrap'],
  ...['fuse3', 'squashfuse', 'squashfs-tools', 'strace', 'gdb', 'systemd', 'systemd-sysv', 'dbus'],
]

/**
 * Made once per list of packages (two minutes, 300 MB from the host's package mirror) and found from then on. Its
 * reference names no registry that exists: it works wherever the tests' images are.
 */
export async function toolsImage(): Promise<UnpackedImage> {
  const recipe = await readRecipe(await hostSuite())
  const sources = recipe.sources.map(sourceLine)
  const text = JSON.stringify({
    version: 1,
    sources,
    PACKAGES: TOOLS,
    DPKG_OPTIONS,
    architecture: process.arch,
  })
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`
  const reference = `tools.test/tools@${digest}`
  const folder = new ImageFolder(join(testCacheDir(), 'images'))
  const signal = AbortSignal.timeout(900_000)
  return folder.make(
    digest,
    reference,
    () => undefined,
    signal,
    async into => {
      const rootfs = join(into, 'rootfs')
      await mustRun(
        [
          'mmdebstrap',
          '--quiet',
          '--mode=root',
          '--variant=minbase',
          '--format=directory',
          `--include=${TOOLS.join(',')}`,
          ...DPKG_OPTIONS.map(option => `--dpkgopt=${option}`),
          recipe.suite,
          rootfs,
          ...sources,
        ],
        { signal, cwd: into },
      )
      const bytes = await diskUsage(rootfs, 'bytes', signal)
      return { config: { env: ['LANG=C.UTF-8'], user: 'root', workingDir: '/' }, bytes }
    },
  )
}
