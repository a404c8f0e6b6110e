// The root of jobs: the host's own programs, read-only, in an otherwise empty tree. A clone needs git and nothing of the
// environment's image, and the image's git, which its owner may have replaced, never sees the runner's deploy keys.
import { lstat, mkdir, readlink, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Mount } from './oci-config.ts'

const PROGRAM_DIRS = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']
// What git, ssh and TLS read of /etc: certificates, the linker's cache, alternatives.
const ETC = [
  '/etc/ssl',
  '/etc/ca-certificates',
  '/etc/alternatives',
  '/etc/ld.so.cache',
  '/etc/ld.so.conf',
  '/etc/ld.so.conf.d',
]
const EMPTY_DIRS = ['proc', 'dev', 'sys', 'tmp', 'run', 'root', 'workspaces', 'etc']
const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n',
  'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
  'etc/hosts': '',
}

/** Lays the tree out in `root` and returns what is to be mounted in it. `targets` are mount points of single files. */
export async function makeToolsRoot(root: string, targets: readonly string[]): Promise<Mount[]> {
  await mkdir(root, { recursive: true, mode: 0o755 })
  for (const dir of EMPTY_DIRS) await mkdir(join(root, dir), { recursive: true, mode: 0o755 })
  for (const [name, text] of Object.entries(FILES)) await writeFile(join(root, name), text, { mode: 0o644 })
  const mounts: Mount[] = []
  for (const source of [...PROGRAM_DIRS, ...ETC]) {
    const stats = await lstat(source).catch(() => undefined) // This host has none; git may still do without.
    if (stats === undefined) continue
    if (stats.isSymbolicLink()) await symlink(await readlink(source), join(root, source))
    else {
      if (stats.isDirectory()) await mkdir(join(root, source), { recursive: true, mode: 0o755 })
      else await writeFile(join(root, source), '', { mode: 0o644 })
      mounts.push({ source, target: source, readOnly: true })
    }
  }
  for (const target of targets) {
    await mkdir(dirname(join(root, target)), { recursive: true, mode: 0o755 })
    await writeFile(join(root, target), '', { mode: 0o644 })
  }
  return mounts
}
