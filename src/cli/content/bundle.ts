// A local folder as a git bundle: what `env create FOLDER` sends. The user's folder is only ever read.
import { spawn } from 'node:child_process'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { findGitUrl } from '../../api/git-url.ts'
import { Fault } from '../../lib/fault.ts'
import { runProcess } from '../../lib/run-process.ts'

type Env = Readonly<Record<string, string | undefined>>

/** A folder that can be sent, any number of times. */
export interface Bundle {
  /** A fresh stream of the bundle; errors when git fails, so that half a bundle never looks like a whole one. */
  open(signal: AbortSignal): Readable
  /** The folder's own remote, to be kept as `origin`; never one with a password in it. */
  readonly origin: string | undefined
  /** What is not sent, in sentences. */
  readonly remarks: readonly string[]
  /** Removes the temporary repository, if one was made. */
  close(): Promise<void>
}

/** `ref` must exist in the repository when given. Faults: `invalid` (ref, no commits, shallow), `unavailable` (no git). */
export async function openBundle(
  folder: string,
  options: { readonly ref?: string | undefined; readonly env: Env; readonly signal: AbortSignal },
): Promise<Bundle> {
  const git = new Git(folder, options.env, options.signal)
  return (await isRepository(folder)) ? repositoryBundle(git, options.ref) : folderBundle(git, options.ref)
}

/** A `.git` of its own (a file in worktrees and submodules), or a bare repository. A parent's repository is not its own. */
async function isRepository(folder: string): Promise<boolean> {
  const has = (name: string) =>
    access(join(folder, name)).then(
      () => true,
      () => false,
    )
  if (await has('.git')) return true
  return (await Promise.all(['HEAD', 'objects', 'refs'].map(has))).every(Boolean)
}

async function repositoryBundle(git: Git, ref: string | undefined): Promise<Bundle> {
  if ((await git.run('rev-parse', '--is-shallow-repository')).trim() === 'true') {
    throw new Fault(
      'invalid',
      'folder-shallow',
      `send ${git.folder}: its history is cut off (a shallow clone)`,
      {
        hint: `git -C ${git.folder} fetch --unshallow, or give the URL that it was cloned from`,
      },
    )
  }
  if (!(await git.succeeds('rev-parse', '--quiet', '--verify', 'HEAD^{commit}'))) {
    throw new Fault(
      'invalid',
      'folder-without-commits',
      `send ${git.folder}: the repository has no commits yet`,
      {
        hint: `git -C ${git.folder} commit, or --empty for an environment without files`,
      },
    )
  }
  if (ref !== undefined) await checkRef(git, ref)
  const origin = (await git.find('config', '--get', 'remote.origin.url'))?.trim()
  const isBare = (await git.run('rev-parse', '--is-bare-repository')).trim() === 'true'
  const changes = isBare ? 0 : countLines(await git.run('status', '--porcelain'))
  const remarks =
    changes === 0
      ? []
      : [`${changes} uncommitted ${changes === 1 ? 'change is' : 'changes are'} not sent: only commits are`]
  return {
    open: signal => git.stream(signal, 'bundle', 'create', '--quiet', '-', 'HEAD', '--branches', '--tags'),
    origin: origin === undefined ? undefined : findGitUrl(origin)?.url,
    remarks,
    close: async () => undefined,
  }
}

/** One commit of everything that .gitignore lets through, in a repository that lives in a temporary folder. */
async function folderBundle(bare: Git, ref: string | undefined): Promise<Bundle> {
  if (ref !== undefined) {
    throw new Fault(
      'invalid',
      'folder-ref',
      `send ${bare.folder}: it is no repository, so there is no '${ref}'`,
    )
  }
  const temporary = await mkdtemp(join(tmpdir(), 'bothy-bundle-'))
  const dispose = () => rm(temporary, { recursive: true, force: true })
  try {
    const git = bare.with({ GIT_DIR: join(temporary, 'git'), GIT_WORK_TREE: bare.folder })
    await git.run('init', '--quiet', '--template=', '--initial-branch=main')
    // One commit has nothing to compare files with; git tries all the same, for seconds, up to this size (300 MB of
    // noise: 6.2 s to bundle, 1.0 s with this).
    await git.run('config', 'core.bigFileThreshold', '1m')
    await git.run('-c', 'core.autocrlf=false', 'add', '--all', '--', '.')
    await git.run(
      ...IDENTITY,
      'commit',
      '--quiet',
      '--allow-empty',
      '--no-verify',
      '-m',
      'Files as they were sent',
    )
    const nested: string[] = []
    await git.eachLine(['ls-files', '--stage'], line => {
      if (line.startsWith('160000 ')) nested.push(line.slice(line.indexOf('\t') + 1))
    })
    return {
      open: signal => git.stream(signal, 'bundle', 'create', '--quiet', '-', 'HEAD', '--branches'),
      origin: undefined,
      remarks: nested.map(path => `${path} is a repository of its own and is not sent`),
      close: dispose,
    }
  } catch (error) {
    await dispose()
    throw error
  }
}

const IDENTITY = [
  ...['-c', 'user.name=Bothy', '-c', 'user.email=bothy@localhost'],
  ...['-c', 'commit.gpgSign=false', '-c', 'core.hooksPath=/dev/null'],
]

async function checkRef(git: Git, ref: string): Promise<void> {
  if (await git.succeeds('rev-parse', '--quiet', '--verify', '--end-of-options', `${ref}^{commit}`)) return
  throw new Fault('not_found', 'folder-ref-unknown', `send ${git.folder}: there is no '${ref}' in it`, {
    hint: `git -C ${git.folder} branch --all lists its branches`,
  })
}

function countLines(text: string): number {
  return text.split('\n').filter(line => line !== '').length
}

/** git in one folder, deaf to the GIT_* variables of a hook that may have started us. */
class Git {
  readonly folder: string
  readonly #env: NodeJS.ProcessEnv
  readonly #signal: AbortSignal

  constructor(folder: string, env: Env, signal: AbortSignal) {
    this.folder = folder
    this.#signal = signal
    const inherited = Object.entries(env).filter(([name]) => !name.startsWith('GIT_'))
    this.#env = { ...Object.fromEntries(inherited), LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0' }
  }

  with(more: Readonly<Record<string, string>>): Git {
    const next = new Git(this.folder, {}, this.#signal)
    Object.assign(next.#env, this.#env, more)
    return next
  }

  async run(...args: string[]): Promise<string> {
    const result = await this.#result(args)
    if (result.code === 0) return result.stdout
    const said = result.stderr.trim().split('\n').slice(0, 6).join('; ')
    const verb = args.find(arg => /^[a-z]+(-[a-z]+)*$/.test(arg)) ?? ''
    throw new Fault('invalid', 'folder-git', `send ${this.folder}: git ${verb}: ${said}`)
  }

  async find(...args: string[]): Promise<string | undefined> {
    const result = await this.#result(args)
    return result.code === 0 ? result.stdout : undefined
  }

  async succeeds(...args: string[]): Promise<boolean> {
    return (await this.#result(args)).code === 0
  }

  stream(signal: AbortSignal, ...args: string[]): Readable {
    const child = spawn('git', args, {
      cwd: this.folder,
      env: this.#env,
      signal,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2000)
    })
    const folder = this.folder
    const ended = new Promise<void>((done, fail) => {
      child.once('error', fail)
      child.once('close', code => {
        if (code === 0) return done()
        fail(
          new Fault('invalid', 'folder-bundle', `send ${folder}: git bundle: exit ${code}: ${said.trim()}`),
        )
      })
    })
    // The stream ends when git has ended well, not when its output has.
    const bundle = new Transform({
      transform: (chunk: Buffer, _encoding, done) => done(null, chunk),
      flush: done => void ended.then(() => done(), done),
    })
    ended.catch((error: Error) => bundle.destroy(error))
    bundle.once('close', () => child.kill())
    return child.stdout.pipe(bundle)
  }

  /** For output that may be longer than what is kept of a process's output. */
  async eachLine(args: readonly string[], onLine: (line: string) => void): Promise<void> {
    await this.#result(args, onLine)
  }

  #result(args: readonly string[], onLine?: (line: string) => void) {
    const options = { cwd: this.folder, env: this.#env, signal: this.#signal }
    return runProcess(['git', ...args], onLine === undefined ? options : { ...options, onLine })
  }
}
