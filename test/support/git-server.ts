import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { mustRun } from '../../src/lib/run-process.ts'
import { freePort } from './registry.ts'

const BACKEND = '/usr/lib/git-core/git-http-backend'
const AUTHOR = ['-c', 'user.name=Test', '-c', 'user.email=test@example.com', '-c', 'commit.gpgsign=false']

/** A server of the bare repositories below a folder. */
export interface GitServer {
  /** Ends without a slash. */
  readonly url: string
  readonly port: number
  stop(): Promise<void>
}

/** Runs git in a folder, by its own settings only. */
export async function git(folder: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', LC_ALL: 'C' }
  return (await mustRun(['git', '-C', folder, ...AUTHOR, ...args], { env })).trim()
}

/** Makes a repository with the files given, committed one by one. Returns the commits, the first one first. */
export async function makeRepository(
  folder: string,
  files: Readonly<Record<string, string>>,
): Promise<string[]> {
  await mkdir(folder, { recursive: true })
  await git(folder, 'init', '--quiet', '--initial-branch=main')
  const commits: string[] = []
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text)
    await git(folder, 'add', name)
    await git(folder, 'commit', '--quiet', '-m', `Add ${name}`)
    commits.push(await git(folder, 'rev-parse', 'HEAD'))
  }
  return commits
}

/**
 * Git's own HTTP backend, run as a CGI program on loopback, or on `host`. A path that begins with `/private/` wants
 * credentials, and one with `/status/NNN/` answers with that status.
 */
export async function startGitHttp(root: string, host = '127.0.0.1'): Promise<GitServer> {
  const server = createServer((request, response) => {
    const status = /^\/status\/(\d{3})\//.exec(request.url ?? '')?.[1]
    if (status !== undefined) return response.writeHead(Number(status)).end()
    if (request.url?.startsWith('/private/') === true) {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end()
    }
    return cgi(root, request, response)
  })
  server.listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    url: `http://${host}:${port}`,
    port,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function cgi(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://loopback')
  const child = spawn(BACKEND, [], {
    env: {
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_NOSYSTEM: '1',
      // The folder belongs to whoever runs the test.
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  // A client that was killed in the middle takes its connection along.
  child.stdin.on('error', () => undefined)
  request.pipe(child.stdin)
  let head = Buffer.alloc(0)
  const onHead = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end === -1) return
    child.stdout.off('data', onHead)
    for (const line of head.subarray(0, end).toString().split('\r\n')) {
      const [name, value] = line.split(': ') as [string, string]
      if (name.toLowerCase() === 'status') response.statusCode = Number.parseInt(value, 10)
      else response.setHeader(name, value)
    }
    response.write(head.subarray(end + 4))
    child.stdout.pipe(response)
  }
  child.stdout.on('data', onHead)
  response.on('close', () => child.kill())
}

/** `git daemon` on loopback. */
export async function startGitDaemon(root: string): Promise<GitServer> {
  const port = await freePort()
  const argv = ['daemon', '--reuseaddr', '--export-all', `--base-path=${root}`, '--listen=127.0.0.1']
  const child = spawn('git', [...argv, `--port=${port}`, root], { stdio: 'ignore', detached: true })
  await accepting(port, child)
  return { url: `git://127.0.0.1:${port}`, port, stop: () => endGroup(child) }
}

export interface SshServer extends GitServer {
  /** A private key that may log in. */
  readonly keyFile: string
  readonly knownHostsFile: string
}

/** A real sshd on loopback, or on `host`, that lets the current user in by one key. */
export async function startSshd(folder: string, host = '127.0.0.1'): Promise<SshServer> {
  const port = await freePort()
  await mkdir(folder, { recursive: true })
  if (process.geteuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  for (const name of ['host', 'user']) {
    await mustRun(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)])
  }
  const authorized = join(folder, 'authorized')
  await writeFile(authorized, await readFile(join(folder, 'user.pub')))
  await chmod(authorized, 0o600)
  const config = [
    `Port ${port}`,
    `ListenAddress ${host}`,
    `HostKey ${join(folder, 'host')}`,
    `AuthorizedKeysFile ${authorized}`,
    `PidFile ${join(folder, 'pid')}`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
  ]
  await writeFile(join(folder, 'sshd_config'), `${config.join('\n')}\n`)
  const argv = ['-D', '-q', '-f', join(folder, 'sshd_config')]
  const child = spawn('/usr/sbin/sshd', argv, { stdio: 'ignore', detached: true })
  await accepting(port, child, host)
  const hostKey = (await readFile(join(folder, 'host.pub'), 'utf8')).split(' ').slice(0, 2).join(' ')
  const knownHostsFile = join(folder, 'known-hosts')
  await writeFile(knownHostsFile, `[${host}]:${port} ${hostKey}\n`)
  return {
    url: `ssh://${userInfo().username}@${host}:${port}`,
    port,
    keyFile: join(folder, 'user'),
    knownHostsFile,
    stop: () => endGroup(child),
  }
}

async function accepting(port: number, child: ChildProcess, host = '127.0.0.1'): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`)
    const socket = connect(port, host)
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (open) return
  }
}

async function endGroup(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  if (child.pid !== undefined && child.exitCode === null) {
    process.kill(-child.pid, 'SIGKILL')
    await ended
  }
}
