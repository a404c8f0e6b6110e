import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { explainCloneFailure } from '../../src/adapters/git/clone-failure.ts'
import { type CloneRequest, cloneJob, type SshFiles, TARGETS } from '../../src/adapters/git/clone-job.ts'
import { createContentSource } from '../../src/adapters/git/content-source.ts'
import { parseGitUrl } from '../../src/api/git-url.ts'
import type { ClonedContent } from '../../src/core/content.ts'
import type { DiskJob } from '../../src/core/driver.ts'
import { type ProcessResult, runProcess } from '../../src/lib/run-process.ts'
import { type GitServer, git, makeRepository, startGitDaemon, startGitHttp } from './git-server.ts'
import { lacking } from './requirements.ts'

/** Why clones cannot be tested here, or undefined. */
export function whyNoGit(more: readonly string[] = []): string | undefined {
  return lacking({ programs: ['git', 'git-http-backend', 'git-daemon', ...more] })
}

/** Served repositories, and a fresh folder to clone into. */
export interface CloneBench {
  readonly folder: string
  /** Where `app` was made, and its five commits; tag v1 is the second, branch feature/x the first. */
  readonly app: string
  readonly commits: readonly string[]
  /** Holds app.git and empty.git. */
  readonly served: string
  readonly http: GitServer
  readonly daemon: GitServer
  readonly workspaces: string
  /** Replaces the workspaces by an empty folder. */
  renew(): Promise<void>
  /** A request for a plain clone of `url` into `app`. */
  request(url: string, more?: Partial<CloneRequest>): CloneRequest
  /** Runs a job as a child of this process: its files appear at their sources, not at their targets. */
  run(
    job: Pick<DiskJob, 'argv' | 'env'>,
    files?: DiskJob['files'],
    signal?: AbortSignal,
  ): Promise<ProcessResult>
  clone(url: string, more?: Partial<CloneRequest>, ssh?: SshFiles): Promise<ProcessResult>
  /** A clone that works, as its result. */
  cloned(url: string, more?: Partial<CloneRequest>, ssh?: SshFiles): Promise<ClonedContent>
  /** A clone that fails and leaves nothing behind, as its fault. */
  failed(
    url: string,
    more?: Partial<CloneRequest>,
    ssh?: SshFiles,
  ): Promise<{ reason: string; code: string; hinted: boolean }>
  /** Runs git in the clone. */
  git(...args: string[]): Promise<string>
  close(): Promise<void>
}

export async function openCloneBench(): Promise<CloneBench> {
  const folder = await mkdtemp(join(tmpdir(), 'bothy-git-'))
  const app = join(folder, 'work')
  const served = join(folder, 'srv')
  const commits = await makeRepository(app, {
    one: '1',
    two: '2',
    three: '3',
    '.gitattributes': '*.bin filter=lfs diff=lfs merge=lfs -text\n',
    '.gitmodules': '[submodule "x"]\n\tpath = x\n\turl = file:///etc\n',
  })
  await git(app, 'tag', 'v1', commits[1]!)
  await git(app, 'branch', 'feature/x', commits[0]!)
  await git(app, 'update-ref', 'refs/pull/7/head', commits[2]!)
  await mkdir(served)
  await git(folder, 'clone', '--quiet', '--mirror', app, join(served, 'app.git'))
  await git(folder, 'init', '--quiet', '--bare', join(served, 'empty.git'))
  const http = await startGitHttp(served)
  const daemon = await startGitDaemon(served)
  let serial = 0
  let workspaces = ''
  const renew = async () => {
    workspaces = join(folder, `workspaces-${++serial}`)
    await mkdir(workspaces)
  }
  await renew()

  const run: CloneBench['run'] = (job, files = [], signal) => {
    const shown = (text: string) =>
      files.reduce((all, file) => all.replaceAll(file.target, file.source), text)
    const env = Object.fromEntries(Object.entries(job.env).map(([name, value]) => [name, shown(value)]))
    const argv = job.argv.map(shown) as [string, ...string[]]
    return runProcess(argv, { env, ...(signal === undefined ? {} : { signal }) })
  }
  const request: CloneBench['request'] = (url, more = {}) => ({
    kind: 'git',
    workspaces,
    directory: 'app',
    source: url,
    protocol: parseGitUrl(url).scheme,
    ref: undefined,
    depth: 1,
    origin: undefined,
    ...more,
  })
  const clone: CloneBench['clone'] = (url, more = {}, ssh = {}) =>
    run(cloneJob(request(url, more), ssh), [
      { source: ssh.sshKeyFile ?? '', target: TARGETS.sshKey },
      { source: ssh.knownHostsFile ?? '', target: TARGETS.knownHosts },
    ])
  return {
    folder,
    app,
    served,
    commits,
    http,
    daemon,
    get workspaces() {
      return workspaces
    },
    renew,
    request,
    run,
    clone,
    async cloned(url, more, ssh) {
      const { code, stdout, stderr } = await clone(url, more, ssh)
      if (code !== 0) throw new Error(`the clone ended with ${code}: ${stderr}`)
      return createContentSource({ allow: [] }).parseResult(stdout)
    },
    async failed(url, more = {}, ssh) {
      const { code, stderr } = await clone(url, more, ssh)
      const left = await readdir(workspaces)
      if (code === 0 || left.length > 0) throw new Error(`ended with ${code}, left ${left.join(' ')}`)
      const fault = explainCloneFailure(url, more.ref, code, stderr)
      return { reason: fault.reason, code: fault.code, hinted: fault.hint !== undefined }
    },
    git: (...args) => git(join(workspaces, 'app'), ...args),
    async close() {
      await http.stop()
      await daemon.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
