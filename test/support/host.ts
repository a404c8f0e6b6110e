// What tests on the real host share: whether they can run, and giving the host back afterwards.
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { resolverAddress } from '../../src/adapters/linux/network.ts'
import { randomSuffix } from '../../src/lib/ids.ts'

/** Why sandboxes cannot be made here, or undefined. Tests skip with this reason, and it is printed. */
export function whyNoSandboxes(): string | undefined {
  if (process.platform !== 'linux') return 'sandboxes need Linux'
  if (process.getuid?.() !== 0) return 'making sandboxes needs root'
  const missing = ['/usr/bin/crun', '/usr/sbin/nft', '/usr/sbin/mkfs.xfs', '/usr/bin/catatonit'].filter(
    f => !existsSync(f),
  )
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`
}

/** A short id for one test file's runner; starts with `t` so that a sweep knows it for a test's. */
export const testShortId = (): string => `t${randomSuffix(5)}`

/** What a runner with that short id still has on the host; empty when it left nothing. */
export function leftovers(shortId: string): string[] {
  const list = (argv: [string, ...string[]]) => {
    const [file, ...args] = argv
    return execFileSync(file, args, { encoding: 'utf8' }).split('\n')
  }
  const named = (what: string, lines: string[]) =>
    lines.filter(each => each.includes(shortId)).map(each => `${what}: ${each}`)
  return [
    ...named('interface', list(['ip', '-o', 'link'])),
    ...named('address', ownAddresses(shortId, list(['ip', '-o', 'addr', 'show', 'dev', 'lo']))),
    ...named('table', list(['nft', 'list', 'tables'])),
    ...named('mount', list(['cat', '/proc/self/mountinfo'])),
    ...named(
      'process',
      list(['ps', '-eo', 'pid,args']).filter(each => !each.includes(' ps ')),
    ),
    ...named('cgroup', list(['find', '/sys/fs/cgroup', '-maxdepth', '2', '-name', `bothy-${shortId}*`])),
    ...named('swap', zramLabels()),
    ...givenAway(),
    ...(existsSync(`/run/bothy/${shortId}`) ? [`folder: /run/bothy/${shortId}`] : []),
    ...slots().flatMap(({ name, owner }) =>
      owner.startsWith(`${shortId}/`) ? [`slot: ${name} ${owner}`] : [],
    ),
  ]
}

/**
 * Runtimes give the descriptors that they are started with to the users of their sandbox (crun to the root inside, runsc to
 * nobody): must never be the host's own node, whose new owner could close it to everybody.
 */
function givenAway(): string[] {
  const describe = (path: string) => {
    const { uid, gid, mode } = statSync(path)
    return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`
  }
  // In a container both may be nobody's.
  const [own, other] = [describe('/dev/null'), describe('/dev/zero')]
  return own === other ? [] : [`device: /dev/null is ${own}, /dev/zero ${other}`]
}

/** Lines about the address at which the runner answered for names, with its short id. */
function ownAddresses(shortId: string, lines: string[]): string[] {
  const own = ` ${resolverAddress(shortId)}/`
  return lines.filter(line => line.includes(own)).map(line => `${shortId}: ${line}`)
}

/** Of the swap devices in compressed memory that there are: name and label, from their headers. */
function zramLabels(): string[] {
  const names = existsSync('/sys/block')
    ? readdirSync('/sys/block').filter(each => each.startsWith('zram'))
    : []
  return names.flatMap(name => {
    try {
      const file = openSync(`/dev/${name}`, 'r')
      const page = Buffer.alloc(4096)
      readSync(file, page, 0, page.length, 0)
      closeSync(file)
      return `${name} ${page.toString('latin1', 1052, 1068).replace(/\0.*$/, '')}`
    } catch {
      // Gone between the two looks.
      return []
    }
  })
}

function slots(): { name: string; owner: string }[] {
  const folder = '/run/bothy/slots'
  return (existsSync(folder) ? readdirSync(folder) : []).map(name => {
    try {
      return { name, owner: readFileSync(`${folder}/${name}`, 'utf8') }
    } catch {
      // Another runner gave it back between the two looks.
      return { name, owner: '' }
    }
  })
}

/** Is CAP_SYS_RESOURCE (24) ours? Without it a file system that is mounted cannot grow. */
export function mayResize(): boolean {
  const [, set = '0'] = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return ((BigInt(`0x${set}`) >> 24n) & 1n) === 1n
}
