// What the machine lacks is said before anything is tried.
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { type ProgramOptions, runProgram, startProgram } from '../support/program.ts'
import { lacking, titled } from '../support/requirements.ts'
import { BOTHY, stackEnv } from '../support/stack.ts'

// Debian's nobody.
const NOBODY = 65_534

describe('doctor', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bothy-doctor-'))
    await chmod(folder, 0o755)
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const bothy = (argv: string[], options: ProgramOptions = {}) =>
    runProgram([BOTHY, ...argv], { cwd: '/', ...options, env: { ...stackEnv(folder), ...options.env } })

  interface Check {
    readonly name: string
    readonly ok: boolean
    readonly required: boolean
    readonly hint?: string
  }
  const lacked = (report: string) =>
    (JSON.parse(report) as { checks: Check[] }).checks.filter(each => each.required && !each.ok)

  const noRoot = lacking({ root: true })
  const nobody: ProgramOptions = { uid: NOBODY, env: { NODE_COMPILE_CACHE: '' } }

  test('what environments can do on this kernel is told, and none of it is required', async () => {
    const { stdout } = await bothy(['doctor', '--data', folder, '--output', 'json'])
    const { checks } = JSON.parse(stdout) as { checks: Check[] }
    const names = [
      'FUSE',
      'tun',
      'bridges filter',
      'user namespaces for everybody',
      'control groups',
      'shared limits',
      'core dumps',
      'disks',
    ]
    const found = checks.filter(({ name }) => names.includes(name))
    expect(found.map(({ name }) => name).sort()).toEqual([...names].sort())
    for (const { ok, required, hint } of found) {
      expect(required).toBe(false)
      if (!ok) expect(hint).toMatch(/./)
    }
  })

  test.skipIf(noRoot)(titled('an ordinary user is told exactly what is missing', noRoot), async () => {
    const people = await bothy(['doctor', '--data', folder], nobody)
    expect(people.code).toBe(6)
    expect(people.stdout).toMatch(/✗ root: user id 65534\n {4}run .*sudo/)
    const programs = await bothy(['doctor', '--data', folder, '-o', 'json'], nobody)
    expect(programs.code).toBe(6)
    // What even root lacks here is none of this test's business.
    const forRoot = lacked((await bothy(['doctor', '--data', folder, '-o', 'json'])).stdout)
    const more = lacked(programs.stdout).filter(({ name }) => !forRoot.some(each => each.name === name))
    expect(more.map(({ name }) => name)).toEqual(['root'])
  })

  test.skipIf(noRoot)(
    titled('a data folder that cannot be written is told before anything', noRoot),
    async () => {
      const { code, stderr } = await bothy(['up', '--data', join(folder, 'data')], nobody)
      expect(code).toBe(3)
      expect(stderr).toContain(join(folder, 'data'))
      expect(stderr).toContain('--data')
      expect(stderr).not.toContain('BOTHY_DEBUG')
    },
  )

  test.skipIf(noRoot)(
    titled('without privileges the server runs, and says what does not', noRoot),
    async () => {
      const own = join(folder, 'own')
      await mkdir(own)
      await chown(own, NOBODY, NOBODY)
      const env = {
        ...stackEnv(folder),
        HOME: own,
        XDG_CONFIG_HOME: join(own, '.config'),
        NODE_COMPILE_CACHE: '',
      }
      const up = startProgram([BOTHY, 'up', '--data', join(own, 'data')], { cwd: '/', uid: NOBODY, env })
      await up.until(/^up {2}/m)
      expect(up.said()).toMatch(/error: .*root: user id 65534\n {2}hint: 'bothy doctor'/)
      expect((await up.end()).code).toBe(0)
    },
  )

  const reason = whyNoSandboxes()
  test.skipIf(reason !== undefined)(titled('a machine that has everything passes', reason), async () => {
    const { code, stdout, stderr } = await bothy(['doctor', '--data', folder])
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' })
  })

  test('what is missing is named, each with what to do about it', async () => {
    const { code, stdout } = await bothy(['doctor', '--data', folder, '-o', 'json'], {
      env: { PATH: '/nonexistent' },
    })
    expect(code).toBe(6)
    const hints = lacked(stdout).map(({ hint }) => hint)
    expect(hints).toContain('apt-get install crun')
    expect(hints).toContain('apt-get install git')
    expect(hints).not.toContain(undefined)
  })
})
