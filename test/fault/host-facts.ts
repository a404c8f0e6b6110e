// Everything that a runner has on the host, asked of the kernel and not of the program under test.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Stack } from '../support/stack.ts'
import { processes, read } from './processes.ts'

/** Lists are sorted; uids name environments. What is there twice is listed twice. */
export interface HostFacts {
  /** Sandboxes' first processes, as `uid pid`. */
  readonly inits: readonly string[]
  /** Of the sandboxes that run, as `uid epoch`. */
  readonly epochs: readonly string[]
  /** Processes that hold a sandbox's mounts. */
  readonly keepers: readonly string[]
  /** Those at work on something that is no sandbox, and those that nobody will give any work. */
  readonly otherHelpers: readonly string[]
  /** Disks on loop devices. */
  readonly loops: readonly string[]
  readonly interfaces: readonly string[]
  /** As the names of the interfaces that belong to them, so that the two lists are the same. */
  readonly slots: readonly string[]
  readonly slotOwners: readonly string[]
  readonly runtimeFolders: readonly string[]
  readonly runtimeState: readonly string[]
  readonly cgroups: readonly string[]
  /** Mounts in the host's own namespace, the pool's aside. */
  readonly mounts: readonly string[]
  /** `uid: files`, logs aside, of the folders that survive. */
  readonly folders: readonly string[]
}

const list = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : [])
const lines = (file: string, ...args: string[]): string[] =>
  execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    .split('\n')
    .filter(line => line !== '')

export async function hostFacts(stack: Stack): Promise<HostFacts> {
  const shortId = await stack.shortId()
  const host = join(stack.dataDir, 'host')
  const pool = existsSync(join(host, 'pool')) ? join(host, 'pool') : host
  const environments = join(pool, 'environments')
  const helpers = processesBelow(`/bothy-${shortId}/keepers`).flatMap(({ pid, parent, argv }) => {
    const name = argv.join(' ').trim()
    if (/^bothy-(keeper|job) /.test(name)) return name
    // Those of a runner that lives: a spare keeper, the guardian.
    const isOfRunner = /\/helpers\/\w+\.pl|^bothy-guardian$/.test(name) && parent === stack.up.child.pid
    return isOfRunner ? [] : `${pid} ${name}`
  })
  const keepers = helpers.filter(name => name.startsWith('bothy-keeper '))
  const owned = list('/run/bothy/slots')
    .map(number => ({ number, owner: read(`/run/bothy/slots/${number}`) ?? '' }))
    .filter(({ owner }) => owner.startsWith(`${shortId}/`))
  const facts: HostFacts = {
    inits: processesBelow(`/bothy-${shortId}/`)
      .filter(({ argv }) => argv[0] === '/dev/.bothy-init')
      .map(({ pid, cgroup }) => `${cgroup.split('/')[2]} ${pid}`),
    epochs: list(`/run/bothy/${shortId}`).flatMap(uid => {
      const state = read(`/run/bothy/${shortId}/${uid}/sandbox.json`)
      return state === undefined ? [] : [`${uid} ${(JSON.parse(state) as { epoch: number }).epoch}`]
    }),
    keepers: keepers.map(name => name.split(' ')[1] ?? ''),
    otherHelpers: helpers.filter(name => !keepers.includes(name)),
    // By the device that the image lies on: the beginning of its path depends on who looks.
    loops: lines('losetup', '--list', '--noheadings', '--output', 'BACK-MAJ:MIN,BACK-FILE')
      .map(line => line.trim().split(/ +/))
      .filter(([device, file]) => device === deviceOf(pool) && file?.endsWith('/disk.img') === true)
      .map(([, file]) => file?.split('/').at(-2) ?? ''),
    interfaces: lines('ip', '-o', 'link')
      .map(line => line.split(/[:@ ]+/)[1] ?? '')
      .filter(name => name.slice(3).startsWith(shortId)),
    slots: owned.map(({ number, owner }) => {
      const kind = owner.includes('/job-') ? 'btj' : 'bty'
      return `${kind}${shortId}${Number(number).toString(36)}`
    }),
    slotOwners: owned.map(({ owner }) => owner.slice(shortId.length + 1)),
    runtimeFolders: list(`/run/bothy/${shortId}`).filter(
      name => !['crun', 'helpers', 'inside'].includes(name) && !isHostWide(name),
    ),
    runtimeState: list(`/run/bothy/${shortId}/crun`),
    cgroups: [
      ...new Set(
        list('/sys/fs/cgroup')
          .concat('.')
          .flatMap(root => list(join('/sys/fs/cgroup', root, `bothy-${shortId}`)))
          .filter(
            name =>
              !['keepers', 'jobs'].includes(name) &&
              !name.includes('.') &&
              !/^(tasks|notify_on_release)$/.test(name),
          ),
      ),
    ],
    mounts: lines('cat', '/proc/self/mountinfo')
      .map(line => line.split(' ')[4] ?? '')
      .filter(target => target !== pool && target !== host)
      .filter(target => target.startsWith(stack.dataDir) || target.includes(shortId)),
    folders: list(environments).map(uid => `${uid}: ${filesOf(join(environments, uid)).join(' ')}`),
  }
  return Object.fromEntries(
    Object.entries(facts).map(([name, values]) => [name, (values as string[]).toSorted()]),
  ) as unknown as HostFacts
}

/** Major and minor number of the device that a path is on, as losetup writes them. */
function deviceOf(path: string): string {
  const { dev } = statSync(path)
  // Linux' encoding: 12 bits of major from bit 8, the minor around them.
  return `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`
}

// A log may be there or not: a runner that was killed in time had nothing to say.
const filesOf = (folder: string): string[] =>
  list(folder)
    .filter(name => !/^log(\.1)?$/.test(name))
    .toSorted()

const isHostWide = (name: string): boolean => ['ip-forward-was-off', 'guardian.lock'].includes(name)

/** Processes whose cgroup starts with `path`, in any hierarchy. */
function processesBelow(path: string): (ReturnType<typeof processes>[number] & { cgroup: string })[] {
  return processes().flatMap(each => {
    const groups = (read(`/proc/${each.pid}/cgroup`) ?? '').split('\n').map(line => line.split(':')[2] ?? '')
    const cgroup = groups.find(group => group.startsWith(path))
    return cgroup === undefined ? [] : [{ ...each, cgroup }]
  })
}
