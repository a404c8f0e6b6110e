// `bothy runner enroll` and `bothy runner run`.
import type { Deps, RunnerEnrollOptions, RunnerRunOptions } from '../cli/deps.ts'
import { createLog } from '../lib/log.ts'
import { enrollRunner } from '../runner/enroll.ts'
import { loadIdentity } from '../runner/identity.ts'
import { linuxMachinery, runHostRunner } from './host-runner.ts'
import { dataPaths } from './paths.ts'

export async function enroll(deps: Deps, options: RunnerEnrollOptions): Promise<void> {
  const { runner, server } = await enrollRunner({
    token: options.token,
    dir: dataPaths(options.dataDir).runner,
    clock: deps.clock,
    ...(options.server === undefined ? {} : { server: options.server }),
  })
  deps.stdout.write(
    `this machine is runner ${runner.namespace}/${runner.name} of ${server}; start it: bothy runner run\n`,
  )
}

export async function run(deps: Deps, options: RunnerRunOptions): Promise<void> {
  const { dataDir, signal } = options
  const log = createLog({ name: 'runner', level: deps.env.BOTHY_LOG ?? 'info' })
  const identity = await loadIdentity(dataPaths(dataDir).runner)
  await runHostRunner({
    identity,
    machinery: await linuxMachinery(dataDir, identity.runner.uid, deps.clock, log),
    ...(options.gateway === undefined ? {} : { gateway: options.gateway }),
    clock: deps.clock,
    log,
    signal,
  })
}
