// What processes and the kernel hold in memory, as /proc tells.
import { readdir, readFile } from 'node:fs/promises'

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

/** Every process of the machine; those that end meanwhile are left out. */
export async function processes(): Promise<readonly Process[]> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const read = async (pid: string): Promise<Process[]> => {
    const texts = await Promise.all(
      ['cmdline', 'stat'].map(name => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => undefined)), // Ended.
    )
    const [command, stat] = texts
    if (command === undefined || stat === undefined) return []
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    return [{ pid: Number(pid), parent, command: command.replaceAll('\0', ' ').trim() }]
  }
  return (await Promise.all(pids.map(read))).flat()
}

/** Bytes that the processes hold, pages that several share counted in parts. */
export async function proportionalBytes(pids: readonly number[]): Promise<number> {
  let bytes = 0
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '') // Ended.
    bytes += 1024 * Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0)
  }
  return bytes
}

/** Bytes that the kernel holds and cannot give back: its objects, stacks, page tables and what it has per processor. */
export async function kernelBytes(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8')
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
  return 1024 * ['SUnreclaim', 'KernelStack', 'PageTables', 'Percpu'].reduce((sum, each) => sum + of(each), 0)
}
