import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { leftovers, mayResize, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { testImage } from '../../../test/support/image.ts'
import { driverContract } from '../../core/driver.contract.ts'
import type { Sandbox, UnpackedImage } from '../../core/driver.ts'
import { execContract } from '../../core/exec.contract.ts'
import { systemClock } from '../../lib/clock.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { createLinuxDriver, type LinuxDriver } from './driver.ts'

/** At once, for it is at work while we look. */
function keeperOf(id: string): number {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(`bothy-keeper ${id}`)) return Number(pid)
    } catch {
      // Ended while we looked.
    }
  }
  throw new Error(`no keeper of ${id}`)
}

const why = whyNoSandboxes()
if (why !== undefined) {
  process.stderr.write(`skipped: linux driver: ${why}\n`)
  test.skip(`linux driver (skipped: ${why})`)
} else {
  describe('linux', () => {
    const shortId = testShortId()
    let dir: string
    let image: UnpackedImage
    const open = () => createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })

    beforeAll(async () => {
      // Not below a 0700 folder: every parent of a root must let others through.
      dir = await mkdtemp('/var/tmp/bothy-linux-')
      image = await testImage()
    }, 300_000)

    afterAll(async () => {
      const driver = open()
      await driver.prepare(AbortSignal.timeout(30_000))
      for (const id of await driver.list()) await driver.destroy(id)
      await driver.teardown()
      await rm(dir, { recursive: true, force: true })
      expect(leftovers(shortId)).toEqual([])
    })

    const openAgain = async () => {
      const driver = open()
      return { driver, image, close: () => driver.close() }
    }
    driverContract(
      'linux',
      openAgain,
      mayResize() ? {} : { 'a disk grows while its sandbox runs': 'no CAP_SYS_RESOURCE' },
    )

    test('what was never prepared is taken down without complaint', async () => {
      const options = { shortId: testShortId(), clock: systemClock, log: silentLog }
      await createLinuxDriver({ ...options, dir: `${dir}/nothing` }).teardown()
    })

    describe('a sandbox', () => {
      let driver: LinuxDriver
      let sandbox: Sandbox
      const signal = () => AbortSignal.timeout(60_000)
      const sh = async (script: string, user?: string) => {
        const stream = await sandbox.exec(
          { argv: ['/bin/sh', '-c', script], ...(user === undefined ? {} : { user }) },
          signal(),
        )
        stream.stdin.end()
        const [out] = await Promise.all([
          text(stream.stdout),
          stream.stderr === undefined ? '' : text(stream.stderr),
          stream.exit,
        ])
        return out.trim()
      }

      beforeAll(async () => {
        driver = open()
        await driver.prepare(signal())
        const id = uuidv7()
        await driver.ensureDisk(id, 2 ** 30, signal())
        sandbox = await driver.ensure(
          { id, name: 'calm-otter', epoch: 1, image, env: {}, memoryBytes: 2 ** 30, pids: 512 },
          signal(),
        )
      }, 120_000)

      afterAll(async () => {
        await driver.destroy(sandbox.id)
        await driver.close()
      })

      execContract('linux', async () => sandbox.exec)

      test('is root inside and an unprivileged id outside', async () => {
        expect(await sh('id -u')).toBe('0')
        const [inside, outside, size] = (await sh('cat /proc/self/uid_map')).split(/\s+/).map(Number)
        expect([inside, size]).toEqual([0, 262_144])
        expect(outside).toBeGreaterThanOrEqual(1_879_048_192)
      })

      test('gives an exec the filter and the capabilities of its first process', async () => {
        // Bare nsenter would be faster and would give Seccomp: 0.
        const facts = (of: string) => `grep -E '^(Seccomp|Cap(Prm|Eff|Bnd)|NoNewPrivs)' /proc/${of}/status`
        expect(await sh(facts('self'))).toBe(await sh(facts('1')))
        expect(await sh("sed -n 's/^Seccomp:[[:space:]]*//p' /proc/self/status")).toBe('2')
      })

      test('gives an exec the cgroups of its first process, and the group that was asked for', async () => {
        const groups = async (of: string, group: 'session' | 'work') => {
          const argv = ['cat', `/proc/${of}/cgroup`]
          const stream = await sandbox.exec({ argv, group }, signal())
          stream.stdin.end()
          stream.stderr?.resume()
          return text(stream.stdout)
        }
        const first = await groups('1', 'work')
        // Where it is told apart at all, the first process is work; under version 1, only where processors are shared.
        expect(first).toContain('/work')
        const session = first.replaceAll('/work', '/session')
        // Under version 1 it runs a moment before it is there.
        await vi.waitFor(async () => expect(await groups('self', 'work')).toBe(first))
        await vi.waitFor(async () => expect(await groups('self', 'session')).toBe(session))
      })

      test('makes its groups anew when root inside has removed them', async () => {
        const groups = 'find /sys/fs/cgroup -maxdepth 2 -name session | sort'
        const before = await sh(groups)
        expect(before).not.toBe('')
        const stream = await sandbox.exec(
          { argv: ['sh', '-c', `rmdir $(${groups}); ${groups}`], group: 'work' },
          signal(),
        )
        stream.stdin.end()
        stream.stderr?.resume()
        expect(await text(stream.stdout)).toBe('')
        expect(await sh(groups)).toBe(before)
      })

      test('leaks no descriptor of the host into an exec', async () => {
        expect(await sh('ls /proc/self/fd')).toBe('0\n1\n2\n3')
        const cwd = await sandbox.exec({ argv: ['pwd'], cwd: '/proc/self/fd/7' }, signal()).then(
          async stream => ('code' in (await stream.exit) ? await stream.exit : { code: -1 }),
          () => ({ code: -1 }),
        )
        expect(cwd).not.toEqual({ code: 0 })
      })

      test('leaks no descriptor of the host into a job, nor anything of it but programs', async () => {
        const id = uuidv7()
        await driver.ensureDisk(id, 2 ** 30, signal())
        const argv = [
          '/bin/sh',
          '-c',
          'for f in /proc/*/fd/*; do readlink $f; done; ls / /run /root /home 2>/dev/null',
        ]
        const job = await driver.runJob(id, { argv, env: {}, reach: [], files: [] }, signal())
        job.stdin.end()
        const [out, , exit] = await Promise.all([text(job.stdout), text(job.stderr!), job.exit])
        expect(exit).toMatchObject({ code: expect.any(Number) })
        const [, open, files] = /^((?:(?:pipe|socket):.*\n|\/dev\/null\n|\/proc\/.*\n)*)([^]*)$/.exec(out)!
        expect(open).toMatch(/pipe|socket/)
        expect(files!.split('\n')[0]).toBe('/:')
        expect(files).toMatch(/^\/run:\n\n?(\/|$)/m)
        await driver.destroy(id)
      })

      test('owns nothing of the host, and has no way to fill it', async () => {
        // What root inside owns it may close to everybody else, and a file outside its disk has no limit.
        expect((await stat('/dev/null')).uid).toBe(0)
        const script = `for fd in 0 1 2; do stat -L -c '%F %t:%T' /proc/1/fd/$fd; done; stat -c %u /dev/null; exec 3<>/dev/fuse 4<>/dev/net/tun && echo open`
        const sink = 'character special file 1:3'
        expect(await sh(script)).toBe([sink, sink, sink, '65534', 'open'].join('\n'))
      })

      test('reaches neither the host, nor private networks, nor metadata', async () => {
        const gateway = await sh("ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'")
        const addresses = [
          gateway,
          '169.254.169.254',
          '10.0.0.1',
          '192.168.0.1',
          '172.16.0.1',
          '100.100.100.200',
        ]
        const script = `for a in ${addresses.join(' ')}; do timeout 1 bash -c "echo > /dev/tcp/$a/22" 2>/dev/null && echo "reached $a"; done; echo done`
        expect(await sh(script)).toBe('done')
      })

      test('has programs that run as their owner, from its image and of its own', async () => {
        await sh('cp /usr/bin/id /usr/local/bin/whose; chmod u+s /usr/local/bin/whose')
        expect(await sh('whose -u; passwd -S | cut -d" " -f1', 'nobody')).toBe('0\nnobody')
      })

      test('has no socket that passes the walls of its network', async () => {
        // unix, inet, netlink; vsock, AF_ALG; the types stream, dgram and raw.
        const script = `for my $f (1, 2, 16, 40, 38) { print "$f " if grep { socket(my $s, $f, $_, 0) } 1, 2, 3, 5 }`
        expect(await sh(`perl -e '${script}'`)).toBe('1 2 16')
      })

      test('runs as a named user, looked up inside', async () => {
        await sh('getent passwd dev || useradd -m dev')
        expect(await sh('id -un; echo $HOME', 'dev')).toBe('dev\n/home/dev')
        await expect(sh('true', 'nobody-such')).rejects.toMatchObject({
          reason: 'invalid',
          code: 'user-unknown',
        })
      })

      test('an open shell does not hold up a stop', async () => {
        // Interactive bash ignores SIGTERM: every stop with a terminal open took the whole grace of ten seconds.
        const id = uuidv7()
        await driver.ensureDisk(id, 2 ** 30, signal())
        const spec = { id, name: 'shell', epoch: 1, image, env: {}, memoryBytes: 2 ** 30, pids: 512 }
        const other = await driver.ensure(spec, signal())
        const shell = await other.exec(
          { argv: ['/bin/bash', '-i'], tty: { columns: 80, rows: 24 } },
          signal(),
        )
        shell.exit.catch(() => undefined) // Ended with its sandbox.
        await new Promise(resolve => shell.stdout.once('data', resolve))
        shell.stdout.resume()
        const begun = systemClock.now()
        await other.stop(10_000)
        expect(systemClock.now() - begun).toBeLessThan(5_000)
        await driver.destroy(id)
      })

      test('ends at the size of its disk, and the host does not', async () => {
        expect(
          await sh(
            'dd if=/dev/zero of=/workspaces/big bs=1M count=1200 2>&1 | grep -o "No space left on device"; rm /workspaces/big',
          ),
        ).toBe('No space left on device')
      })
    })

    describe('a sandbox that is stopped', () => {
      let driver: LinuxDriver
      const made: string[] = []
      const signal = () => AbortSignal.timeout(60_000)
      const start = async (id: string, epoch: number): Promise<Sandbox> => {
        await driver.ensureDisk(id, 2 ** 30, signal())
        made.push(id)
        const limits = { memoryBytes: 2 ** 30, pids: 512 }
        return driver.ensure({ id, name: 'calm-otter', epoch, image, env: {}, ...limits }, signal())
      }
      const run = async (sandbox: Sandbox, script: string) =>
        (await sandbox.exec({ argv: ['/bin/sh', '-c', script] }, signal())).exit

      beforeAll(async () => {
        driver = open()
        await driver.prepare(signal())
      }, 60_000)

      afterAll(async () => {
        for (const id of made) await driver.destroy(id)
        await driver.close()
      })

      test('ends although nobody reads what floods its terminal', { timeout: 60_000 }, async () => {
        const sandbox = await start(uuidv7(), 1)
        const tty = { columns: 80, rows: 24 }
        const flood = await sandbox.exec({ argv: ['sh', '-c', 'echo $$ >/tmp/pid; exec yes'], tty }, signal())
        // Asleep: it cannot write any more.
        const isAsleep = 'until grep -q "^State:.S" /proc/$(cat /tmp/pid)/status; do sleep 0.1; done'
        await run(sandbox, `until [ -s /tmp/pid ]; do sleep 0.1; done; ${isAsleep}`)
        await sandbox.stop(0)
        // The last words are there for whoever comes late.
        flood.stdout.resume()
        expect(await flood.exit).toEqual({ signal: 'SIGTERM' })
      })

      test('gives up a start that hangs, and starts again', { timeout: 60_000 }, async () => {
        const id = uuidv7()
        const abort = new AbortController()
        await driver.ensureDisk(id, 2 ** 30, signal())
        made.push(id)
        const spec = { id, name: 'calm-otter', epoch: 1, image, env: {}, memoryBytes: 2 ** 30, pids: 512 }
        const hanging = driver.ensure(spec, abort.signal, stage => {
          if (stage !== 'mount') return
          process.kill(keeperOf(id), 'SIGSTOP')
          abort.abort()
        })
        await expect(hanging).rejects.toMatchObject({ reason: 'cancelled' })
        expect(await run(await driver.ensure({ ...spec, epoch: 2 }, signal()), 'exit 3')).toEqual({ code: 3 })
      })

      test('starts again whatever became of its files', { timeout: 60_000 }, async () => {
        const id = uuidv7()
        const pipes =
          'cd /etc; umount resolv.conf hosts; for f in passwd group resolv.conf hosts; do rm $f; mkfifo $f; done'
        const first = await start(id, 1)
        expect(await run(first, pipes)).toEqual({ code: 0 })
        await first.stop(0)
        expect(await run(await start(id, 2), 'grep -q localhost /etc/hosts')).toEqual({ code: 0 })
      })
    })
  })
}
