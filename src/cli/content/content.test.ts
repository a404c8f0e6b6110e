import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { environmentNameSchema } from '../../api/names.ts'
import { mustRun } from '../../lib/run-process.ts'
import { openBundle } from './bundle.ts'
import { randomName } from './names.ts'
import { directoryName, parseSource } from './source.ts'

let dir: string
let folder: string
const signal = new AbortController().signal
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bothy-content-'))
  folder = join(dir, 'My Project')
  await mkdir(folder)
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const env = { PATH: process.env.PATH, HOME: '/nonexistent' }
const git = (...args: string[]): Promise<string> =>
  mustRun(['git', '-C', folder, ...args], { env: { ...env, ...AUTHOR } })
const AUTHOR = Object.fromEntries(
  ['AUTHOR', 'COMMITTER'].flatMap(who => [
    [`GIT_${who}_NAME`, 'Isla'],
    [`GIT_${who}_EMAIL`, 'isla@example.com'],
  ]),
)

/** What somebody gets who clones the bundle. */
async function sent(
  ref?: string,
): Promise<{ files: string[]; log: string[]; origin: string | undefined; remarks: readonly string[] }> {
  const bundle = await openBundle(folder, { ref, env, signal })
  const file = join(dir, 'bundle')
  await pipeline(bundle.open(signal), createWriteStream(file))
  await bundle.close()
  const clone = join(dir, 'clone')
  await rm(clone, { recursive: true, force: true })
  await mustRun(['git', 'clone', '--quiet', file, clone], { env })
  const log = await mustRun(['git', '-C', clone, 'log', '--all', '--format=%s'], { env })
  const files = (await readdir(clone)).filter(name => name !== '.git').sort()
  return { files, log: log.trim().split('\n').sort(), origin: bundle.origin, remarks: bundle.remarks }
}

async function repository(): Promise<void> {
  await git('init', '--quiet', '-b', 'main')
  await writeFile(join(folder, 'a.txt'), 'a')
  await git('add', '.')
  await git('commit', '--quiet', '-m', 'first')
}

test('a repository is sent with all branches and tags, and what is not committed stays', async () => {
  await repository()
  await git('checkout', '--quiet', '-b', 'other')
  await git('commit', '--quiet', '--allow-empty', '-m', 'on other')
  await git('tag', 'v1')
  await git('checkout', '--quiet', 'main')
  await git('remote', 'add', 'origin', 'git@git.example.com:team/app.git')
  await writeFile(join(folder, 'uncommitted.txt'), 'x')
  expect(await sent('v1')).toEqual({
    files: ['a.txt'],
    log: ['first', 'on other'],
    origin: 'git@git.example.com:team/app.git',
    remarks: ['1 uncommitted change is not sent: only commits are'],
  })
})

test('a detached HEAD is what gets checked out', async () => {
  await repository()
  await git('checkout', '--quiet', '--detach')
  await git('commit', '--quiet', '--allow-empty', '-m', 'detached')
  expect((await sent()).log).toEqual(['detached', 'first'])
})

test('a remote with a password in it is not told to anybody', async () => {
  await repository()
  await git('remote', 'add', 'origin', 'https://isla:secret@git.example.com/app.git')
  expect((await sent()).origin).toBeUndefined()
})

test('a folder that is no repository is sent as one commit, without what .gitignore names, and is left as it was', async () => {
  await writeFile(join(folder, 'a.txt'), 'a')
  await writeFile(join(folder, 'run'), '#!/bin/sh\n', { mode: 0o755 })
  await writeFile(join(folder, '.gitignore'), '*.log\n')
  await writeFile(join(folder, 'x.log'), 'no')
  expect(await sent()).toEqual({
    files: ['.gitignore', 'a.txt', 'run'],
    log: ['Files as they were sent'],
    origin: undefined,
    remarks: [],
  })
  expect((await stat(join(dir, 'clone', 'run'))).mode & 0o111).not.toBe(0)
  expect((await readdir(folder)).sort()).toEqual(['.gitignore', 'a.txt', 'run', 'x.log'])
})

test('a folder inside a repository is not that repository', async () => {
  await repository()
  folder = join(folder, 'sub')
  await mkdir(folder)
  await writeFile(join(folder, 'only.txt'), 'x')
  expect(await sent()).toMatchObject({ files: ['only.txt'], log: ['Files as they were sent'] })
})

test('an empty folder is sent, and its temporary repository is gone afterwards', async () => {
  const ours = async () => (await readdir(tmpdir())).filter(name => name.startsWith('bothy-bundle-')).length
  const before = await ours()
  expect((await sent()).files).toEqual([])
  expect(await ours()).toBe(before)
})

test('a repository inside the folder is named among what is not sent', async () => {
  await writeFile(join(folder, 'a.txt'), 'a')
  const outer = folder
  folder = join(outer, 'inner')
  await mkdir(folder)
  await repository()
  folder = outer
  expect((await sent()).remarks).toEqual(['inner is a repository of its own and is not sent'])
})

test('git hooks’ variables of whoever started us do not lead git astray', async () => {
  await repository()
  const bundle = await openBundle(folder, {
    env: { ...env, GIT_DIR: '/nonexistent', GIT_INDEX_FILE: '/x' },
    signal,
  })
  expect(bundle.remarks).toEqual([])
})

test.each([
  ['no commits yet', 'unborn', undefined, 'folder-without-commits'],
  ['no such branch', 'repository', 'nowhere', 'folder-ref-unknown'],
  ['an option in disguise of a branch', 'repository', '--output=/tmp/x', 'folder-ref-unknown'],
  ['a branch of no repository', 'plain', 'main', 'folder-ref'],
])('refuses to send: %s', async (_, kind, ref, code) => {
  if (kind === 'repository') await repository()
  if (kind === 'unborn') await git('init', '--quiet')
  await expect(openBundle(folder, { ref, env, signal })).rejects.toMatchObject({ code })
})

test('a shallow clone is refused with what to do about it', async () => {
  await repository()
  await git('commit', '--quiet', '--allow-empty', '-m', 'second')
  const shallow = join(dir, 'shallow')
  await mustRun(['git', 'clone', '--quiet', '--depth', '1', `file://${folder}`, shallow], { env })
  folder = shallow
  await expect(openBundle(folder, { env, signal })).rejects.toMatchObject({
    code: 'folder-shallow',
    hint: expect.stringContaining('--unshallow'),
  })
})

test('half a bundle never looks like a whole one', async () => {
  await repository()
  const bundle = await openBundle(folder, { env, signal })
  await rm(join(folder, '.git', 'objects'), { recursive: true })
  await expect(pipeline(bundle.open(signal), createWriteStream(join(dir, 'half')))).rejects.toThrow(
    /git bundle/,
  )
  expect((await readFile(join(dir, 'half'))).length).toBe(0)
})

test('GIT_URL or FOLDER is decided by what is there, and an error says what would do', async () => {
  await writeFile(join(dir, 'file'), '')
  const at = (text: string | undefined, empty = false) => parseSource(text, { empty, cwd: dir })
  expect(await at('https://git.example.com/team/App.git')).toMatchObject({ kind: 'git', directory: 'app' })
  expect(await at('git@git.example.com:team/app.git')).toMatchObject({ kind: 'git' })
  expect(await at('My Project')).toEqual({ kind: 'folder', path: folder, directory: 'my-project' })
  expect(await at('./My Project/')).toMatchObject({ kind: 'folder', path: folder })
  expect(await at(undefined)).toEqual({ kind: 'empty' })
  expect(await at(undefined, true)).toEqual({ kind: 'empty' })
  for (const [text, why] of [
    ['nowhere', /neither a git URL nor a folder/],
    ['file', /a file, not a folder/],
    ['file:///etc', /not a git URL/],
    ['ext::sh -c id', /not a git URL/],
    ['https://a:b@git.example.com/x.git', /password/],
  ] as const) {
    await expect(at(text)).rejects.toMatchObject({ message: expect.stringMatching(why), reason: 'invalid' })
  }
  await expect(at('.', true)).rejects.toMatchObject({ code: 'source-ambiguous' })
})

test('folders of any name get a name below /workspaces', () => {
  const long = 'x'.repeat(80)
  expect(['/a/Hello World', '/a/repo.git', '/', `/${long}-`, '/日本'].map(directoryName)).toEqual([
    'hello-world',
    'repo',
    'project',
    long.slice(0, 63),
    'project',
  ])
})

test('random names are names of environments', () => {
  for (let i = 0; i < 200; i++) expect(environmentNameSchema.safeParse(randomName()).success).toBe(true)
  expect(randomName(() => 0)).toBe('able-adder')
})
