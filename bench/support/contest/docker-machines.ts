// Containers of a private dockerd, entered through its API, which is quicker than its command line.
import { request } from 'node:http'
import type { Duplex } from 'node:stream'
import { text as readText } from 'node:stream/consumers'
import { mustRun } from '../../../src/lib/run-process.ts'
import type { Docker } from '../docker.ts'
import type { Contestant, Machine, Terminal } from './contestant.ts'

/** A container's memory: as much as an environment of class `small` has. */
const MEMORY = '4g'

export interface DockerMachines extends Contestant {
  /** Gives each container so many cores at most, as Kubernetes' limits do; undefined: no limit. */
  limit(cores: number | undefined): Promise<void>
}

export async function dockerMachines(docker: Docker, count: number): Promise<DockerMachines> {
  const names = Array.from({ length: count }, (_, index) => `machine-${index}`)
  for (const name of names) {
    const argv = ['docker', 'run', '-d', '--init', '--name', name, '--memory', MEMORY, docker.image] as const
    await mustRun([...argv, 'sleep', 'infinity'], { env: docker.env })
  }
  const socketPath = String(docker.env['DOCKER_HOST']).replace(/^unix:\/\//, '')
  return {
    name: 'docker',
    machines: names.map((name): Machine => ({ open: argv => openTerminal(socketPath, name, argv) })),
    async limit(cores) {
      const period = 100_000
      const quota = cores === undefined ? -1 : Math.max(1000, Math.round(cores * period))
      const argv = ['docker', 'update', '--cpu-period', String(period), '--cpu-quota', String(quota)] as const
      await mustRun([...argv, ...names], { env: docker.env })
    },
    close: async () => void (await mustRun(['docker', 'rm', '-f', ...names], { env: docker.env })),
  }
}

async function openTerminal(socketPath: string, name: string, argv: readonly string[]): Promise<Terminal> {
  const asked = { AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true, Cmd: argv }
  const { Id } = await post<{ Id: string }>(socketPath, `/containers/${name}/exec`, asked)
  const stream = await hijack(socketPath, `/exec/${Id}/start`, { Detach: false, Tty: true })
  stream.on('error', () => undefined) // It ends with that.
  return { input: stream, output: stream }
}

function post<T>(socketPath: string, path: string, body: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const asking = request({ socketPath, path, method: 'POST', headers }, answer => {
      readText(answer).then(said => {
        if (answer.statusCode === 201) resolve(JSON.parse(said) as T)
        else reject(new Error(`docker: POST ${path}: ${answer.statusCode} ${said}`))
      }, reject)
    })
    asking.once('error', reject)
    asking.end(JSON.stringify(body))
  })
}

function hijack(socketPath: string, path: string, body: object): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body)
    const asking = request({
      ...{ socketPath, path, method: 'POST' },
      headers: {
        ...{ 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
        ...{ connection: 'Upgrade', upgrade: 'tcp' },
      },
    })
    asking.once('upgrade', (_, socket: Duplex, head: Buffer) => {
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
    asking.once('response', answer => reject(new Error(`docker: POST ${path}: ${answer.statusCode}`)))
    asking.once('error', reject)
    asking.end(text)
  })
}
