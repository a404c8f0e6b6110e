// Real kubectls, unmodified, against a running server: every version that is on PATH or was brought by `npm test`.
import { realpathSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { withUnpacked } from '../../scripts/setup/test-tools.mjs'
import { type Program, type ProgramResult, runProgram, startProgram } from './program.ts'
import { isExecutable, titled } from './requirements.ts'
import { type Json, pathOf, type ServerFixture, startServer } from './server.ts'

type User = keyof ServerFixture['tokens']

interface KubectlProgram {
  readonly file: string
  /** As it calls itself, e.g. `1.20`. */
  readonly version: string
  readonly minor: number
}

/** What a suite does with one version. Command lines are split at spaces; arguments that hold some follow one by one. */
export interface Kubectl {
  /** 20 for 1.20: some commands and flags are newer than others. */
  readonly minor: number
  readonly server: ServerFixture
  run(line: string, ...more: string[]): Promise<ProgramResult>
  /** What it prints on standard output; it must succeed, and warn of nothing. */
  ok(line: string, ...more: string[]): Promise<string>
  /** What it prints on standard error but for the hints that come with errors; it must fail with exit code 1. */
  fails(line: string, ...more: string[]): Promise<string>
  /** The object that it prints with `-o json`. */
  json(line: string, ...more: string[]): Promise<Json>
  /** For what goes on by itself, such as a watch; ended at the end of the suite at the latest. */
  start(line: string, ...more: string[]): Program
  /** The same with these objects, or this text, on standard input. */
  given(...manifests: [string] | object[]): Kubectl
  /** The same as another user; it is ada, a member, by default. */
  as(user: User): Kubectl
  with(env: Readonly<Record<string, string>>): Kubectl
}

interface Invocation {
  readonly user: User
  readonly stdin?: string
  readonly env: Readonly<Record<string, string>>
}

type Suite = (kubectl: () => Kubectl, minor: number) => void

export const KUBECTLS: readonly KubectlProgram[] = await findKubectls()

/**
 * A suite for each version, with a server of its own. `suite` gets the kubectl as a function, because it is there only
 * while tests run, and the minor version to leave out what the version does not have.
 */
export function describeKubectl(title: string, suite: Suite): void {
  if (KUBECTLS.length === 0) {
    describe.skip(titled(title, 'needs kubectl'), () => {
      suite(() => undefined as never, 0)
    })
    return
  }
  for (const program of KUBECTLS) {
    // The versions side by side, which keeps two processors busy; the tests of one after each other.
    describe.concurrent(`kubectl ${program.version}`, () => {
      describe(title, { concurrent: false }, () => {
        suiteFor(program, suite)
      })
    })
  }
}

function suiteFor(program: KubectlProgram, suite: Suite): void {
  let server: ServerFixture
  const running = new Set<Program>()
  beforeAll(async () => {
    server = await startServer()
    for (const user of Object.keys(server.tokens) as User[])
      await writeFile(kubeconfigPath(server, user), JSON.stringify(kubeconfigFor(server, user)), {
        mode: 0o600,
      })
  })
  afterAll(async () => {
    await Promise.all([...running].map(each => each.end('SIGKILL')))
    await server?.close()
  })
  suite(() => makeKubectl(program, server, running, { user: 'ada', env: {} }), program.minor)
}

function makeKubectl(
  program: KubectlProgram,
  server: ServerFixture,
  running: Set<Program>,
  invocation: Invocation,
): Kubectl {
  const options = {
    // Shorter than a test, so that one that waits in vain shows what was said instead.
    patienceMs: 20_000,
    cwd: server.dir,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: server.dir,
      KUBECONFIG: kubeconfigPath(server, invocation.user),
      ...invocation.env,
    },
    ...(invocation.stdin === undefined ? {} : { stdin: invocation.stdin }),
  }
  const argv = (line: string, more: string[]) => [program.file, ...line.split(' '), ...more]
  const run = (line: string, ...more: string[]) => runProgram(argv(line, more), options)
  const ended = async (code: number, line: string, more: string[]) => {
    const result = await run(line, ...more)
    const said = `kubectl ${[line, ...more].join(' ')}:\n${result.stdout}${result.stderr}`
    expect(result.code, said).toBe(code)
    return result
  }
  const ok = async (line: string, ...more: string[]) => {
    const { stdout, stderr } = await ended(0, line, more)
    expect(withoutNotices(stderr), `kubectl ${[line, ...more].join(' ')}`).toBe('')
    return stdout
  }
  const derived = (change: Partial<Invocation>) =>
    makeKubectl(program, server, running, { ...invocation, ...change })
  return {
    minor: program.minor,
    server,
    run,
    ok,
    fails: async (line, ...more) => (await ended(1, line, more)).stderr.replace(/^Warning: hint: .*\n/gm, ''),
    json: async (line, ...more) => JSON.parse(await ok(`${line} -o json`, ...more)),
    start: (line, ...more) => {
      const started = startProgram(argv(line, more), options)
      running.add(started)
      started.result.finally(() => running.delete(started)).catch(() => undefined) // Whoever waits for it is told.
      return started
    },
    given: (...manifests) => derived({ stdin: asInput(manifests) }),
    as: user => derived({ user }),
    with: env => derived({ env: { ...invocation.env, ...env } }),
  }
}

/** Several as a list, which every version reads in JSON too. */
function asInput(manifests: readonly (string | object)[]): string {
  const [first] = manifests
  if (typeof first === 'string') return first
  return JSON.stringify(manifests.length === 1 ? first : { apiVersion: 'v1', kind: 'List', items: manifests })
}

/** Writes an Environment's status, as its runner would. */
export async function setStatus({ server }: Kubectl, name: string, status: Json): Promise<void> {
  const { status: code, text } = await server.call('PATCH', `${pathOf('environments', name)}/status`, {
    token: server.tokens.admin,
    headers: { 'content-type': 'application/merge-patch+json' },
    body: { status },
  })
  expect(code, text).toBe(200)
}

/** Rows of a printed table, each a record by column. Columns are found by where their titles stand. */
export function parseTable(printed: string): Record<string, string>[] {
  const [head = '', ...rows] = printed.trimEnd().split('\n')
  const titles = [...head.matchAll(/\S+(?: \S+)*/g)].map(({ 0: title, index }) => ({ title, index }))
  return rows.map(row =>
    Object.fromEntries(
      titles.map(({ title, index }, at) => [title, row.slice(index, titles[at + 1]?.index).trimEnd()]),
    ),
  )
}

/** kubectl says on standard error what is no warning. */
function withoutNotices(stderr: string): string {
  const notice = /^(No resources found|Edit cancelled|Waited for \d)/
  return stderr
    .split('\n')
    .filter(line => !notice.test(line))
    .join('\n')
    .trim()
}

const kubeconfigPath = ({ dir }: ServerFixture, user: User) => join(dir, `kubeconfig-${user}`)

function kubeconfigFor({ url, pki, tokens }: ServerFixture, user: User): object {
  const authority = Buffer.from(pki.ca).toString('base64')
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: url(), 'certificate-authority-data': authority } }],
    users: [{ name: 'u', user: { token: tokens[user] } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'default' } }],
    'current-context': 'x',
  }
}

/** One for each minor version, the newest first. */
async function findKubectls(): Promise<KubectlProgram[]> {
  const folders = withUnpacked(process.env['PATH'] ?? '').split(delimiter)
  const files = folders.map(folder => join(folder, 'kubectl')).filter(isExecutable)
  const found = new Map<number, KubectlProgram>()
  for (const file of new Set(files.map(each => realpathSync(each)))) {
    const { code, stdout } = await runProgram([file, 'version', '--client', '-o', 'json'])
    const [, major, minor] = /"gitVersion": "v(\d+)\.(\d+)\./.exec(stdout) ?? []
    if (code !== 0 || minor === undefined || found.has(Number(minor))) continue
    found.set(Number(minor), { file, version: `${major}.${minor}`, minor: Number(minor) })
  }
  return [...found.values()].sort((a, b) => b.minor - a.minor)
}
