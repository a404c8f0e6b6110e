import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../../src/main/paths.ts'

test('a second SIGTERM does not cut the end short', { timeout: 60_000 }, async () => {
  // Service managers signal whole groups, and `npm run` passes signals on: `up` gets each one twice. It used to die of
  // the second, and left a database and its folder behind.
  const home = await mkdtemp(join(tmpdir(), 'bothy-dev-test-'))
  try {
    const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: home, TMPDIR: home }
    const up = spawn(join(ROOT, 'bothy'), ['up', '--dev', '--listen', '127.0.0.1:0'], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    await new Promise<void>((resolve, reject) => {
      let said = ''
      up.stderr.on('data', (text: Buffer) => {
        said += text.toString()
        if (/^up /m.test(said)) resolve()
      })
      up.once('exit', () => reject(new Error(`up ended: ${said}`)))
    })
    const ended = new Promise(resolve => up.once('exit', (code, signal) => resolve({ code, signal })))
    up.kill('SIGTERM')
    up.kill('SIGTERM')
    expect(await ended).toEqual({ code: 0, signal: null })
    expect((await readdir(home)).filter(name => name.startsWith('bothy-dev-'))).toEqual([])
  } finally {
    await rm(home, { recursive: true, force: true })
  }
})
