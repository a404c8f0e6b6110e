// Registries that want a password: what they are told, and that nobody else is.
import { chmod, chown, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  faultOf,
  hello,
  type ImageBench,
  openImageBench,
  whyNoImages,
} from '../../../test/support/image-bench.ts'
import { type RegistryOptions, startRegistry } from '../../../test/support/registry.ts'
import { startRegistryProxy } from '../../../test/support/registry-proxy.ts'
import { titled } from '../../../test/support/requirements.ts'
import { startTokenServer } from '../../../test/support/token-server.ts'
import type { Fault } from '../../lib/fault.ts'
import { mustRun } from '../../lib/run-process.ts'

const why = whyNoImages()

const PASSWORD = 'correct-horse-7c1f'
// bcrypt of it; the cost is the lowest there is.
const HTPASSWD = 'me:$2b$04$f52E/TJJ2Cq4VkoG031PGujoZSo1YSTWfjl4vcOfRQG0oFYDJEBhu\n'

describe.skipIf(why)(titled('image store, at a registry with a lock', why), () => {
  let bench: ImageBench
  beforeAll(async () => {
    bench = await openImageBench()
  })
  afterAll(() => bench?.close())

  /** A registry with one image that only `me` may have, and credentials files. */
  const openLocked = async (how: 'htpasswd' | 'token') => {
    const folder = await mkdtemp(join(bench.folder, 'locked-'))
    const tokens =
      how === 'token' ? await startTokenServer(folder, { user: 'me', password: PASSWORD }) : undefined
    const options: RegistryOptions = tokens === undefined ? { htpasswd: HTPASSWD } : { token: tokens }
    const registry = await startRegistry(folder, options)
    const credentials = async (password: string, host = registry.host) => {
      const authFile = join(folder, `auth-${(await readdir(folder)).length}.json`)
      const auth = Buffer.from(`me:${password}`).toString('base64')
      await writeFile(authFile, JSON.stringify({ auths: { [host]: { auth } } }), { mode: 0o600 })
      return authFile
    }
    const authFile = await credentials(PASSWORD)
    const { path } = await bench.layout(hello)
    await registry.push(`oci:${path}`, 'team/app:1', ['--dest-authfile', authFile])
    const reference = `${registry.host}/team/app:1`
    const open = (file?: string) =>
      bench.open({ registries: { insecure: [registry.host], ...(file && { authFile: file }) } })
    const close = async () => {
      await registry.stop()
      tokens?.close()
    }
    return { registry, tokens, reference, authFile, credentials, open, close }
  }

  test.each(['htpasswd', 'token'] as const)('%s: with the credentials of the runner only', async how => {
    const { reference, authFile, credentials, open, tokens, close } = await openLocked(how)
    try {
      const refused = { reason: 'forbidden', code: 'image-forbidden', hinted: true }
      expect(await faultOf(open().ensure(reference))).toEqual(refused)
      const wrong = await open(await credentials('wrong-9d2e'))
        .ensure(reference)
        .catch((fault: Fault) => fault)
      expect(wrong).toMatchObject({ reason: 'forbidden', code: 'image-forbidden' })
      // It says where to put the right ones, and none of the wrong ones.
      expect(`${(wrong as Fault).hint}`).toContain('registries.authFile in its runner.yaml')
      expect(JSON.stringify([(wrong as Fault).message, (wrong as Fault).hint])).not.toMatch(/9d2e|auth-\d/)
      expect(await faultOf(open(await credentials(PASSWORD, 'other.example.com')).ensure(reference))).toEqual(
        refused,
      )
      const { ensure } = open(authFile)
      const image = await ensure(reference)
      expect(await readFile(join(image.layers[0]!, 'hello'), 'utf8')).toBe('hello')
      // And again, when there is nothing to fetch but the tag to look up.
      expect(await ensure(reference)).toEqual(image)
      if (tokens !== undefined) expect(tokens.given).toContain('repository:team/app:pull')
    } finally {
      await close()
    }
  })

  test('the file must be its owner’s alone', async () => {
    const { reference, authFile, open, close } = await openLocked('htpasswd')
    try {
      const exposed = { reason: 'forbidden', code: 'credentials-exposed', hinted: true }
      for (const mode of [0o644, 0o640, 0o602]) {
        await chmod(authFile, mode)
        expect(await faultOf(open(authFile).ensure(reference))).toEqual(exposed)
      }
      await chmod(authFile, 0o600)
      await chown(authFile, 12_345, 0)
      expect(await faultOf(open(authFile).ensure(reference))).toEqual(exposed)
      const missing = { reason: 'forbidden', code: 'credentials-missing', hinted: true }
      expect(await faultOf(open(`${authFile}.none`).ensure(reference))).toEqual(missing)
    } finally {
      await close()
    }
  })

  test.each([
    ['half of one', '{"auths": {"example.com": {"auth": "c2VjcmV0'],
    ['something else', 'secret-9d2e'],
    ['no base64', '{"auths": {"HOST": {"auth": "secret-9d2e!"}}}'],
    ['a helper that is not there', '{"credHelpers": {"HOST": "secret-9d2e"}}'],
  ])('a file that is %s is told of, and neither its name nor what is in it', async (_, content) => {
    const { reference, authFile, open, close } = await openLocked('htpasswd')
    try {
      await writeFile(authFile, content.replace('HOST', reference.split('/')[0] ?? ''))
      const fault = await open(authFile)
        .ensure(reference)
        .catch((error: Fault) => error)
      expect(fault).toMatchObject({ reason: 'forbidden', code: 'credentials-malformed' })
      const { message, hint } = fault as Fault
      expect(hint).toContain('registries.authFile')
      expect(`${message} ${hint}`).not.toMatch(/9d2e|'s'|c2Vj|auth-?\d|\/tmp/)
    } finally {
      await close()
    }
  })

  test('while it is used nobody on the host sees a password, and the tools stand last in line', async () => {
    const { registry, credentials, close } = await openLocked('htpasswd')
    const proxy = await startRegistryProxy(registry.host)
    const reached = Promise.withResolvers<() => void>()
    try {
      const authFile = await credentials(PASSWORD, proxy.host)
      proxy.intercept = (request, response) => {
        if (request.url?.includes('/blobs/') !== true) return false
        reached.resolve(() => response.destroy())
        return true
      }
      const { ensure, dir } = bench.open({ registries: { insecure: [proxy.host], authFile } })
      const abort = new AbortController()
      const pulling = faultOf(ensure(`${proxy.host}/team/app:1`, undefined, abort.signal))
      await reached.promise
      const processes = await Promise.all(
        (await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(describeProcess),
      )
      const skopeo = processes.filter(({ argv }) => argv[0] === 'skopeo' && argv.includes(authFile))
      expect(skopeo).toHaveLength(1)
      const [{ pid, nice }] = skopeo as [(typeof skopeo)[0]]
      expect(nice).toBe(10)
      expect(await mustRun(['ionice', '-p', pid])).toBe('idle\n')
      const secrets = [PASSWORD, Buffer.from(`me:${PASSWORD}`).toString('base64')]
      const others = processes.filter(each => each.pid !== `${process.pid}`)
      for (const secret of secrets) {
        expect(others.filter(({ text }) => text.includes(secret))).toEqual([])
        expect(await filesWith(secret, dir)).toEqual([])
      }
      abort.abort()
      expect((await pulling).reason).toBe('cancelled')
    } finally {
      proxy.close()
      await close()
    }
  })
})

async function describeProcess(pid: string) {
  // Some end while we look.
  const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
  const [cmdline, environ, stat] = await Promise.all([read('cmdline'), read('environ'), read('stat')])
  // proc(5): the nineteenth field; the second may hold blanks and ends with the last bracket.
  const nice = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
  return { pid, argv: cmdline.split('\0'), text: cmdline + environ, nice }
}

async function filesWith(secret: string, folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  const contents = await Promise.all(paths.map(path => readFile(path)))
  return paths.filter((_, index) => contents[index]!.includes(secret))
}
