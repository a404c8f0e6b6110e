import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { OnProgress } from '../../core/images.ts'
import { Fault } from '../../lib/fault.ts'
import { mustRun } from '../../lib/run-process.ts'
import { parseDeb822Sources, parseOneLineSources, parseOsRelease } from './apt-sources.ts'
import { probeSources } from './bootstrap-probe.ts'
import { bootstrapProgress } from './bootstrap-progress.ts'
import { createCeiling, isFull, type Limits, watching } from './growth.ts'
import { readOwnCertificates } from './host-certificates.ts'
import type { FilledImage, ImageConfig } from './image-folder.ts'
import { DPKG_OPTIONS, PACKAGES, planRecipe, type Recipe, sourceLine } from './recipe.ts'
import { removeDevices } from './rootfs.ts'
import { runTool, usesProxy } from './tool.ts'

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

// mmdebstrap gives a hook to the shell unless it is the path of a program with nothing special in it.
const PLAIN_PATH = /^[A-Za-z0-9@%+=:,./_-]+$/

const HOOK = 'customize'
const CERTIFICATES = 'certificates'

const CONFIG: ImageConfig = {
  env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C.UTF-8'],
  user: 'root',
  workingDir: '/',
}

/** Reads this host's sources. Faults with `unsupported` when they name no mirror of a distribution like Debian. */
export async function readRecipe(suite: string, mirror?: string): Promise<Recipe> {
  const architecture = ARCHITECTURES[process.arch] ?? process.arch
  const os = parseOsRelease(await readOrNothing('/etc/os-release'))
  const folder = '/etc/apt/sources.list.d'
  const entries = (await readdir(folder).catch(() => [] as string[])).sort((one, other) =>
    one < other ? -1 : 1,
  )
  const read = async (suffix: string) =>
    Promise.all(entries.filter(name => name.endsWith(suffix)).map(name => readOrNothing(join(folder, name))))
  const sources = [
    ...parseOneLineSources(await readOrNothing('/etc/apt/sources.list')),
    ...(await read('.list')).flatMap(parseOneLineSources),
    ...(await read('.sources')).flatMap(parseDeb822Sources),
  ]
  const recipe = planRecipe(suite, architecture, { os, sources }, mirror)
  if (recipe !== undefined) return recipe
  const hint = 'use an image from a registry or an archive, or give the runner a Debian mirror'
  throw new Fault(
    'unsupported',
    'bootstrap-no-mirror',
    `make an image of '${suite}': this host's apt sources name no mirror of its distribution`,
    { hint },
  )
}

/** Makes `folder/rootfs` from packages: about 25 s with a near mirror. */
export async function bootstrap(
  recipe: Recipe,
  folder: string,
  limits: Limits,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<FilledImage> {
  if (!PLAIN_PATH.test(folder)) {
    const hint = 'keep the images in a folder whose path has no spaces or special characters'
    throw new Fault('unsupported', 'bootstrap-path', `make an image in '${folder}'`, { hint })
  }
  const proxy = await readAptProxy(signal)
  const proxied = usesProxy() || Object.keys(proxy).length > 0
  // Through a proxy only apt knows the way; then the suite is taken for granted, its updates are not.
  const sources = proxied ? recipe.sources.slice(0, 1) : await probeSources(recipe.sources, signal)
  const rootfs = join(folder, 'rootfs')
  await mkdir(rootfs, { mode: 0o755 })
  const hook = await writeHook(folder)
  onProgress(`making '${recipe.suite}' from ${sources[0]!.uri}`)
  const progress = bootstrapProgress()
  const ceiling = createCeiling(rootfs, limits)
  const argv: [string, ...string[]] = [
    'mmdebstrap',
    '--verbose',
    '--mode=root',
    '--variant=minbase',
    '--format=directory',
    `--architectures=${recipe.architecture}`,
    `--components=${recipe.sources[0]!.components.join(',')}`,
    `--include=${PACKAGES.join(',')}`,
    ...DPKG_OPTIONS.map(option => `--dpkgopt=${option}`),
    `--customize-hook=${hook}`,
    recipe.suite,
    rootfs,
    ...sources.map(sourceLine),
  ]
  const onLine = (line: string) => {
    const message = progress(line)
    if (message !== undefined) onProgress(message)
  }
  const check = () => ceiling.check(signal)
  await check()
  const result = await watching(500, check, signal, aborted =>
    runTool(argv, { cwd: folder, signal: aborted, env: proxy, onLine }),
  )
  if (result.code !== 0) throw await explain(recipe, folder, result.stderr)
  const bytes = await ceiling.final(signal)
  await finish(rootfs, recipe)
  await removeDevices(rootfs, signal)
  return { config: CONFIG, bytes }
}

async function explain(recipe: Recipe, folder: string, stderr: string): Promise<Fault> {
  const said = stderr
    .split('\n')
    .filter(line => line.startsWith('E: '))
    .slice(-2)
    .join('; ')
  const message = `make an image of '${recipe.suite}' from ${recipe.sources[0]!.uri}: ${said || 'mmdebstrap failed'}`
  if (await isFull(folder)) {
    const hint = 'free some space in the folder that holds the images'
    return new Fault('exhausted', 'bootstrap-no-space', message, { hint })
  }
  const hint = "see whether 'apt-get update' works on the runner's host; it uses the same mirror"
  return new Fault('unavailable', 'bootstrap-failed', message, { hint })
}

/** The program that mmdebstrap calls at the end, with the new root as its argument. */
async function writeHook(folder: string): Promise<string> {
  const certificates = join(folder, CERTIFICATES)
  await mkdir(certificates)
  for (const { name, pem } of await readOwnCertificates()) await writeFile(join(certificates, name), pem)
  const file = join(folder, HOOK)
  const script = [
    '#!/bin/sh',
    'set -eu',
    `cp -R -- "\${0%/*}/${CERTIFICATES}/." "$1/usr/local/share/ca-certificates/"`,
    'exec chroot "$1" update-ca-certificates',
    '',
  ]
  await writeFile(file, script.join('\n'), { mode: 0o755 })
  return file
}

async function finish(rootfs: string, recipe: Recipe): Promise<void> {
  const motd = [
    `This is a development environment made by Bothy from ${recipe.suite}.`,
    'You are root in it: install what you like. Your files are below /workspaces.',
    '',
  ]
  await writeFile(join(rootfs, 'etc/motd'), motd.join('\n'))
  await writeFile(join(rootfs, 'etc/default/locale'), 'LANG=C.UTF-8\n')
  // The host's own, left behind by the bootstrap; every environment gets its own.
  await writeFile(join(rootfs, 'etc/hostname'), 'environment\n')
  await writeFile(join(rootfs, 'etc/resolv.conf'), '')
  await mkdir(join(rootfs, 'workspaces'), { mode: 0o755 })
}

/** apt's own proxy, which this process's environment does not show. Used while bootstrapping, not copied. */
async function readAptProxy(signal: AbortSignal): Promise<Record<string, string>> {
  const ask = async (name: string) => {
    // apt-config may be missing where mmdebstrap is not: then the fault is raised where that is started.
    const out = await mustRun(['apt-config', 'dump', '--format', '%v%n', name], { signal }).catch(() => '')
    return out.trim().split('\n')[0] ?? ''
  }
  const http = await ask('Acquire::http::Proxy')
  const https = await ask('Acquire::https::Proxy')
  const set = (value: string) => value !== '' && value !== 'DIRECT'
  return {
    ...(set(http) ? { http_proxy: http } : {}),
    ...(set(https) ? { https_proxy: https } : {}),
  }
}

async function readOrNothing(file: string): Promise<string> {
  // A host that lacks one of these files simply says nothing in that place.
  return readFile(file, 'utf8').catch(() => '')
}
