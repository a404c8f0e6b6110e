// What runs on the host, by what the kernel says of it.
import { readdir, readFile } from 'node:fs/promises'

/** The process with exactly these arguments. */
export async function findProcess(...argv: string[]): Promise<number | undefined> {
  const wanted = argv.map(each => `${each}\0`).join('')
  return (await processes('cmdline')).find(({ text }) => text === wanted)?.pid
}

/** Processes in the cgroups of an environment. */
export async function processesOf(environmentUid: string): Promise<number[]> {
  return (await processes('cgroup')).filter(({ text }) => text.includes(environmentUid)).map(({ pid }) => pid)
}

async function processes(file: 'cmdline' | 'cgroup'): Promise<{ pid: number; text: string }[]> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  // Some end while we look.
  const read = (pid: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
  return Promise.all(pids.map(async pid => ({ pid: Number(pid), text: await read(pid) })))
}
