// Bare crun, with the configuration that the linux driver generates, for comparison.
import { spawn } from 'node:child_process'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { detectCgroups, processesIn, removeCgroup } from '../../src/adapters/linux/cgroups.ts'
import { HELPER_ENV, helperPath } from '../../src/adapters/linux/helper.ts'
import { sandboxConfig } from '../../src/adapters/linux/oci-config.ts'
import { releaseSlot, takeSlot } from '../../src/adapters/linux/slots.ts'
import { systemClock } from '../../src/lib/clock.ts'

const SCRIPT = fileURLToPath(new URL('bare-start.pl', import.meta.url))

export interface Bare {
  /** Milliseconds from spawning the script to the first byte of output. */
  start(): Promise<number>
  /** Ends it and leaves nothing. */
  close(): Promise<void>
}

/** One start; milliseconds from spawning the script to the first byte of `echo`. Leaves nothing. */
export async function bareStart(rootfs: string, poolDir: string): Promise<number> {
  const bare = await prepareBare(rootfs, poolDir, 0, ['/bin/echo', 'here'])
  try {
    return await bare.start()
  } finally {
    await bare.close()
  }
}

/** All that is not measured: folders, configuration, a range of ids. */
export async function prepareBare(
  rootfs: string,
  poolDir: string,
  number: number,
  argv: readonly string[],
): Promise<Bare> {
  const id = `${process.pid}-${number}`
  const name = `bb${process.pid.toString(36)}${number.toString(36)}`
  const bundle = `/run/bothy-bench-${id}`
  const upper = join(poolDir, `bare-${id}`)
  const owner = `bench/${id}`
  const slot = await takeSlot(owner)
  const cgroups = await detectCgroups()
  const cgroup = `/bothy-bench-${id}`
  const root = `${bundle}-crun`
  const close = async () => {
    for (const pid of await processesIn(cgroups, cgroup)) process.kill(pid, 'SIGKILL')
    await rm(bundle, { recursive: true, force: true })
    await rm(root, { recursive: true, force: true })
    await rm(upper, { recursive: true, force: true })
    await removeCgroup(cgroups, cgroup, systemClock)
    await releaseSlot(slot.number, owner)
  }
  try {
    for (const dir of [bundle, ...['layer', 'shifted', 'rootfs'].map(each => join(bundle, each))]) {
      await mkdir(dir, { recursive: true })
      await chmod(dir, 0o711)
    }
    for (const dir of ['upper', 'work', 'workspaces']) await mkdir(join(upper, dir), { recursive: true })
    const config = sandboxConfig({
      hostname: 'bare',
      rootfs: join(bundle, 'rootfs'),
      process: { argv, env: [], cwd: '/', uid: 0, gid: 0, maxOpenFiles: 4096 },
      slot,
      cgroupsPath: cgroup,
      mounts: [{ source: join(bundle, 'shifted/workspaces'), target: '/workspaces' }],
      memoryBytes: 2 ** 32,
      pids: 4096,
      arch: process.arch,
    })
    await writeFile(join(bundle, 'config.json'), JSON.stringify(config))
  } catch (error) {
    await close()
    throw error
  }
  const command = [
    ...['perl', SCRIPT, helperPath('kernel.pl'), String(slot.idBase), rootfs, upper, bundle, name],
    ...[slot.hostAddress, slot.address, root],
  ]
  return { start: () => firstByte(command), close }
}

/**
 * Milliseconds until a program's first byte of output; resolves when it has ended well. What it has started may go on
 * and keep its output open.
 */
export function firstByte(argv: readonly string[], env: NodeJS.ProcessEnv = HELPER_ENV): Promise<number> {
  const [file = '', ...args] = argv
  return new Promise((resolve, reject) => {
    const started = performance.now()
    let first: number | undefined
    let code: number | null | undefined
    let said = ''
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const fail = () => reject(new Error(`${argv.slice(0, 3).join(' ')}: exit ${code}: ${said.trim()}`))
    const check = () => {
      if (code === undefined) return
      if (code !== 0) fail()
      else if (first !== undefined) resolve(first)
    }
    child.stdout.once('data', () => {
      first = performance.now() - started
      check()
    })
    child.stdout.resume()
    child.stderr.on('data', (text: Buffer) => {
      said += text.toString()
    })
    child.once('error', reject)
    child.once('exit', status => {
      code = status
      check()
    })
    child.once('close', () => {
      if (first === undefined) fail()
    })
  })
}
