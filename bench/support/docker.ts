// A private dockerd for comparison: own folders, own network namespace, stopped by pid. Never the machine's own.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/lib/clock.ts'
import { mustRun, runProcess } from '../../src/lib/run-process.ts'

export interface Docker {
  readonly env: NodeJS.ProcessEnv
  readonly image: string
  /** The folder of its own, which the command lines of its processes show. */
  readonly dir: string
  close(): Promise<void>
}

const PROGRAMS = ['/usr/sbin/dockerd', '/usr/bin/docker']

/** Installs docker.io if it is missing, starts a daemon and imports `rootfs` as an image. */
export async function startDocker(rootfs: string): Promise<Docker> {
  if (!PROGRAMS.every(path => existsSync(path))) {
    process.stderr.write('installing docker.io (for comparison)\n')
    // Its service must not start: ours is private.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
    await mustRun(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', 'docker.io', 'iptables'], {
      env,
    })
  }
  const dir = await mkdtemp('/var/tmp/bothy-bench-docker-')
  const network = `bothybench${process.pid}`
  await mustRun(['ip', 'netns', 'add', network])
  const env = { ...process.env, DOCKER_HOST: `unix://${dir}/docker.sock`, DOCKER_CONFIG: join(dir, 'config') }
  let daemon: ChildProcess | undefined
  const close = async () => {
    if (daemon !== undefined && daemon.exitCode === null) {
      const ended = new Promise(resolve => daemon?.once('exit', resolve))
      daemon.kill('SIGTERM')
      await ended
    }
    await runProcess(['ip', 'netns', 'delete', network])
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await mustRun(['ip', '-n', network, 'link', 'set', 'lo', 'up'])
    // nsenter, not `ip netns exec`: that one mounts a new /sys, without the cgroups.
    daemon = spawn(
      'nsenter',
      [
        `--net=/run/netns/${network}`,
        ...['dockerd', '--host', `unix://${dir}/docker.sock`, '--data-root', join(dir, 'data')],
        ...['--exec-root', join(dir, 'exec'), '--pidfile', join(dir, 'pid'), '--log-level', 'error'],
      ],
      { stdio: 'ignore' },
    )
    for (let tries = 0; (await runProcess(['docker', 'version'], { env })).code !== 0; tries++) {
      if (tries > 300 || daemon.exitCode !== null) throw new Error('the private dockerd does not come up')
      await systemClock.sleep(100)
    }
    await mustRun(['tar', '-C', rootfs, '-cf', join(dir, 'image.tar'), '.'])
    await mustRun(['docker', 'import', join(dir, 'image.tar'), 'bench:1'], { env })
    return { env, image: 'bench:1', dir, close }
  } catch (error) {
    await close()
    throw error
  }
}
