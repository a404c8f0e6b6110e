// Takes from the host what test runs left that were killed before they could do it themselves. Only what carries the
// label of a test process that is gone: see label.ts.
import { existsSync } from 'node:fs'
import { readdir, readFile, realpath, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { findServerProcesses } from '../../src/adapters/postgres/embedded/postmaster.ts'
import { whyNoSandboxes } from './host.ts'
import { sweepNetworks } from './host-network.ts'
import { isLeftOver } from './label.ts'
import { runProgram } from './program.ts'
import { BOTHY, STACKS, stackEnv } from './stack.ts'

export async function sweepStacks(): Promise<void> {
  // Who cannot make sandboxes has none to remove.
  if (whyNoSandboxes() !== undefined) return
  for (const name of await readdir(STACKS)) {
    if (await isLeftOver(name)) await sweepStack(join(STACKS, name))
  }
  await sweepNetworks()
}

async function sweepStack(folder: string): Promise<void> {
  for (const pid of await processesOf(folder)) kill(pid)
  for (const name of await readdir(folder).catch(() => [])) {
    const dataDir = join(folder, name)
    await dropDatabase(dataDir)
    if (!existsSync(join(dataDir, 'runner', 'identity.json'))) continue
    const down = await runProgram([BOTHY, 'down', '--all', '--data', dataDir], { env: stackEnv(folder) })
    // Kept, for somebody to see what keeps it; every later run tries again.
    if (down.code !== 0) return void process.stderr.write(`cannot remove ${dataDir}: ${down.stderr}`)
  }
  await rm(folder, { recursive: true, force: true })
}

/** Servers, runners and command lines that were given a folder of it. */
async function processesOf(folder: string): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    // Some end while we look.
    const argv = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0')
    if (argv.some(each => each === folder || each.startsWith(`${folder}/`))) found.push(Number(name))
  }
  return found
}

/** Its data is thrown away: no need to be kind. That of a private folder lies elsewhere, behind a link. */
async function dropDatabase(dataDir: string): Promise<void> {
  const home = await realpath(join(dataDir, 'postgres')).catch(() => undefined)
  if (home === undefined) return
  const pgdata = join(home, 'data')
  const owner = await stat(pgdata).catch(() => undefined)
  if (owner !== undefined) for (const { pid } of await findServerProcesses(pgdata, owner.uid)) kill(pid)
  await rm(home, { recursive: true, force: true })
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
