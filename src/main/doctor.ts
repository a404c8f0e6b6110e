import { findPackage } from '../adapters/postgres/embedded/programs.ts'
import type { Deps, DoctorCheck, DoctorOptions, DoctorReport } from '../cli/deps.ts'
import { silentLog } from '../lib/log.ts'
import { loadRunnerConfig } from '../runner/config.ts'
import { openLinuxDriver } from './host-runner.ts'
import { dataPaths } from './paths.ts'

/** What this machine has and lacks, for the server and for the runner. */
export async function doctor(deps: Deps, options: DoctorOptions): Promise<DoctorReport> {
  // What is wrong with the file is told by who uses all of it.
  const { disks } = await loadRunnerConfig(dataPaths(options.dataDir).runnerConfig).catch(() => ({
    disks: 'auto' as const,
  }))
  const driver = openLinuxDriver(options.dataDir, 'doctor', deps.clock, silentLog, { disks })
  const { checks } = await driver.health()
  const all = [checkPlatform(), checkNode(), await checkPostgres(deps), ...checks]
  return { ok: all.every(check => check.ok || !check.required), checks: all }
}

function checkPlatform(): DoctorCheck {
  const ok = process.platform === 'linux'
  const check = { name: 'platform', ok, required: true, found: `${process.platform} ${process.arch}` }
  return ok ? check : { ...check, hint: 'environments run on Linux; the command line works everywhere' }
}

function checkNode(): DoctorCheck {
  const ok = Number(process.versions.node.split('.')[0]) >= 24
  const check = { name: 'Node', ok, required: true, found: process.version }
  return ok ? check : { ...check, hint: 'npm install brings Node 24 on Linux' }
}

async function checkPostgres(deps: Deps): Promise<DoctorCheck> {
  if (deps.env.BOTHY_DATABASE_URL)
    return { name: 'PostgreSQL', ok: true, required: true, found: 'BOTHY_DATABASE_URL' }
  try {
    const { version } = await findPackage()
    return { name: 'PostgreSQL', ok: true, required: true, found: `embedded, ${version}` }
  } catch {
    // Not installed, or not for this processor: the same to whoever asks.
    const hint = 'npm install, or set BOTHY_DATABASE_URL to a PostgreSQL 15 or newer'
    return { name: 'PostgreSQL', ok: false, required: true, found: 'no embedded one', hint }
  }
}
