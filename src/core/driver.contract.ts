// What every driver owes. Each adapter's test is a few lines that call it.
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { isFault, toFault } from '../lib/fault.ts'
import { uuidv7 } from '../lib/ids.ts'
import type { Driver, Sandbox, SandboxSpec, UnpackedImage } from './driver.ts'
import { DISK_BYTES, DISK_PROMISES, diskPromises, say } from './driver-disks.contract.ts'
import type { ExecStream, Exit } from './exec.ts'

export interface OpenDriver {
  readonly driver: Driver
  /** An image with `/bin/sh` and the usual small tools. */
  readonly image: UnpackedImage
  /** What every sandbox of this suite is asked to be besides. */
  readonly spec?: Pick<SandboxSpec, 'isolation'>
  /** Lets go of this instance; the host keeps everything. */
  close(): Promise<void>
}

export const DRIVER_PROMISES = [
  'ensure twice is one sandbox',
  'reports each stage of a start with its times',
  'finds a running sandbox, with its epoch, from a new instance',
  'a sandbox outlives the instance that made it',
  'workspaces survive stop and ensure with the next epoch',
  'the root file system survives stop and ensure with the next epoch',
  'an older epoch is replaced, and its processes are gone',
  'refuses an epoch older than the one that runs',
  'stop is idempotent, and ended resolves',
  'ended resolves for an instance that found the sandbox',
  'stop asks first and kills what is left after the grace',
  'destroy removes everything, and list no longer names it',
  'destroy ends a running sandbox',
  'a job writes to /workspaces, and the sandbox sees it',
  'a job gets its variables and files, and fails with its exit code',
  'an aborted job leaves no process',
  'two sandboxes share no files',
  ...DISK_PROMISES,
  'variables of the environment reach every command',
  'the host name inside is the name of the environment',
  'exec after stop faults unavailable',
  'an aborted ensure leaves nothing that runs',
  'dial reaches a server on the loopback inside',
  'dial to a closed port faults unavailable',
  'health says what it found',
] as const
export type DriverPromise = (typeof DRIVER_PROMISES)[number]

/**
 * Runs the driver contract. `open` is called several times and gives each time a new instance on the same host, as
 * after a restart of the runner, not yet prepared; what is left of the host at the end is the caller's to remove.
 * `skips` names promises that this driver cannot keep, with the reason, which is printed.
 */
export function driverContract(
  name: string,
  open: () => Promise<OpenDriver>,
  skips: Partial<Record<DriverPromise, string>> = {},
): void {
  const unknown = Object.keys(skips).filter(each => !DRIVER_PROMISES.some(title => title === each))
  if (unknown.length > 0) throw new Error(`driver ${name} skips what nobody promises: ${unknown.join('; ')}`)
  describe(`driver ${name}`, () => {
    let driver: Driver
    let image: UnpackedImage
    let current: OpenDriver
    const made = new Set<string>()

    const reopen = async () => {
      current = await open()
      ;({ driver, image } = current)
      await driver.prepare(AbortSignal.timeout(60_000))
    }
    const restart = async () => {
      await current.close()
      await reopen()
    }
    beforeAll(reopen)
    afterAll(async () => {
      for (const id of made) await driver.destroy(id)
      await current.close()
    })

    const titles = new Set<string>()
    const promise = (
      title: DriverPromise,
      body: (spec: SandboxSpec, signal: AbortSignal) => Promise<void>,
    ) => {
      titles.add(title)
      const reason = skips[title]
      if (reason !== undefined) {
        test.skip(`${title} (skipped: ${reason})`)
        process.stderr.write(`skipped: driver ${name}: ${title}: ${reason}\n`)
        return
      }
      test(title, { timeout: 60_000 }, async ({ signal }) => {
        const spec = specOf('calm-otter')
        try {
          await body(spec, signal)
        } finally {
          for (const id of made) await driver.destroy(id)
          made.clear()
        }
      })
    }
    const specOf = (environment: string): SandboxSpec => {
      const id = uuidv7()
      made.add(id)
      return {
        id,
        name: environment,
        epoch: 1,
        image,
        env: { FROM_SPEC: 'yes' },
        memoryBytes: 512 * 2 ** 20,
        pids: 512,
        ...current.spec,
      }
    }
    const start = async (spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> => {
      await driver.ensureDisk(spec.id, DISK_BYTES, signal)
      return driver.ensure(spec, signal)
    }

    promise('ensure twice is one sandbox', async (spec, signal) => {
      await start(spec, signal)
      const again = await start(spec, signal)
      const marker = await say(again, 'touch /workspaces/marker; echo ok', signal)
      const [one, other] = await Promise.all([driver.ensure(spec, signal), driver.ensure(spec, signal)])
      expect(marker).toBe('ok\n')
      expect([one?.epoch, other?.epoch, (await driver.list()).filter(id => id === spec.id).length]).toEqual([
        1, 1, 1,
      ])
      expect(await say(one!, 'find /workspaces', signal)).toContain('marker')
    })

    promise('reports each stage of a start with its times', async (spec, signal) => {
      const begun = systemClock.now()
      const stages: { stage: string; started: number; ended: number }[] = []
      await driver.ensureDisk(spec.id, DISK_BYTES, signal)
      await driver.ensure(spec, signal, (stage, started, ended) => stages.push({ stage, started, ended }))
      expect(stages.map(({ stage }) => stage)).toContain('sandbox')
      for (const { started, ended } of stages) {
        expect(ended).toBeGreaterThanOrEqual(started)
        expect(started).toBeGreaterThanOrEqual(begun - 1)
      }
    })

    promise('finds a running sandbox, with its epoch, from a new instance', async (spec, signal) => {
      await start({ ...spec, epoch: 4 }, signal)
      await restart()
      const found = await driver.find(spec.id)
      expect({ id: found?.id, epoch: found?.epoch }).toEqual({ id: spec.id, epoch: 4 })
      expect(await say(found!, 'echo alive', signal)).toBe('alive\n')
      expect(await driver.list()).toContain(spec.id)
      expect((await driver.ensure({ ...spec, epoch: 4 }, signal)).epoch).toBe(4)
    })

    promise('a sandbox outlives the instance that made it', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      await say(sandbox, 'sleep 1000 >/dev/null 2>&1 </dev/null & echo $! > /workspaces/pid', signal)
      await restart()
      const found = await driver.find(spec.id)
      expect(await say(found!, 'kill -0 "$(cat /workspaces/pid)" && echo runs', signal)).toBe('runs\n')
    })

    promise('workspaces survive stop and ensure with the next epoch', async (spec, signal) => {
      const first = await start(spec, signal)
      await say(first, 'echo kept > /workspaces/file', signal)
      await first.stop(1_000)
      expect(await driver.find(spec.id)).toBeUndefined()
      expect(await driver.list()).toContain(spec.id)
      const second = await start({ ...spec, epoch: 2 }, signal)
      expect([second.epoch, await say(second, 'cat /workspaces/file', signal)]).toEqual([2, 'kept\n'])
    })

    promise('the root file system survives stop and ensure with the next epoch', async (spec, signal) => {
      const first = await start(spec, signal)
      await say(first, 'echo kept > /root/file; echo changed > /etc/motd', signal)
      await first.stop(1_000)
      const second = await start({ ...spec, epoch: 2 }, signal)
      expect(await say(second, 'cat /root/file /etc/motd', signal)).toBe('kept\nchanged\n')
    })

    promise('an older epoch is replaced, and its processes are gone', async (spec, signal) => {
      const first = await start(spec, signal)
      await say(first, 'echo kept > /workspaces/file', signal)
      const stream = await first.exec({ argv: ['sleep', '1000'] }, signal)
      drain(stream)
      const second = await driver.ensure({ ...spec, epoch: 2 }, signal)
      expect(second.epoch).toBe(2)
      await first.ended
      // The command went with its sandbox, however that is told.
      expect(await stream.exit.catch(error => toFault(error).reason)).not.toEqual({ code: 0 })
      expect(await say(second, 'cat /workspaces/file', signal)).toBe('kept\n')
    })

    promise('refuses an epoch older than the one that runs', async (spec, signal) => {
      await start({ ...spec, epoch: 2 }, signal)
      const refused = await driver.ensure({ ...spec, epoch: 1 }, signal).catch(toFault)
      expect(isFault(refused) && refused.reason).toBe('conflict')
      expect((await driver.find(spec.id))?.epoch).toBe(2)
    })

    promise('stop is idempotent, and ended resolves', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      await Promise.all([sandbox.stop(1_000), sandbox.stop(1_000)])
      await sandbox.stop(1_000)
      expect(await sandbox.ended).toSatisfy((exit: Exit) => 'code' in exit || 'signal' in exit)
      expect(await driver.find(spec.id)).toBeUndefined()
    })

    promise('ended resolves for an instance that found the sandbox', async (spec, signal) => {
      await start(spec, signal)
      await restart()
      const found = await driver.find(spec.id)
      const same = await driver.find(spec.id)
      await found!.stop(1_000)
      await Promise.all([found!.ended, same!.ended])
      expect(await driver.find(spec.id)).toBeUndefined()
    })

    promise('stop asks first and kills what is left after the grace', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      const script = 'trap "echo asked > /workspaces/asked" TERM; echo ready; while :; do sleep 0.05; done'
      const stubborn = await sandbox.exec({ argv: ['/bin/sh', '-c', script] }, signal)
      await new Promise(resolve => stubborn.stdout.once('data', resolve))
      drain(stubborn)
      const begun = systemClock.now()
      await sandbox.stop(500)
      expect(systemClock.now() - begun).toBeLessThan(10_000)
      await stubborn.exit.catch(() => undefined) // Lost with its sandbox: either way of saying so is fine.
      const next = await start({ ...spec, epoch: 2 }, signal)
      expect(await say(next, 'cat /workspaces/asked', signal)).toBe('asked\n')
    })

    promise('destroy removes everything, and list no longer names it', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      await say(sandbox, 'echo gone > /workspaces/file', signal)
      await sandbox.stop(1_000)
      await driver.destroy(spec.id)
      await driver.destroy(spec.id)
      expect(await driver.list()).not.toContain(spec.id)
      const anew = await start({ ...spec, epoch: 1 }, signal)
      expect(await say(anew, 'find /workspaces -mindepth 1', signal)).toBe('')
    })

    promise('destroy ends a running sandbox', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      await driver.destroy(spec.id)
      await sandbox.ended
      expect([await driver.find(spec.id), (await driver.list()).includes(spec.id)]).toEqual([
        undefined,
        false,
      ])
      await driver.destroy(uuidv7())
    })

    promise('a job writes to /workspaces, and the sandbox sees it', async (spec, signal) => {
      await driver.ensureDisk(spec.id, DISK_BYTES, signal)
      const job = {
        argv: [
          '/bin/sh',
          '-c',
          'mkdir /workspaces/app; echo text > /workspaces/app/file; echo out; echo err >&2',
        ],
        env: {},
        reach: [],
        files: [],
      }
      const stream = await driver.runJob(spec.id, job, signal)
      stream.stdin.end()
      const [stdout, stderr, exit] = await Promise.all([
        text(stream.stdout),
        text(stream.stderr!),
        stream.exit,
      ])
      expect({ stdout, stderr, exit }).toEqual({ stdout: 'out\n', stderr: 'err\n', exit: { code: 0 } })
      const sandbox = await driver.ensure(spec, signal)
      const script = 'cat /workspaces/app/file; echo more >> /workspaces/app/file && echo writable'
      expect(await say(sandbox, script, signal)).toBe('text\nwritable\n')
    })

    promise('a job gets its variables and files, and fails with its exit code', async (spec, signal) => {
      await driver.ensureDisk(spec.id, DISK_BYTES, signal)
      const job = {
        argv: ['/bin/sh', '-c', 'head -n 1 /run/job/source; echo "$WORD"; exit 9'],
        env: { WORD: 'two words' },
        reach: [],
        files: [{ source: import.meta.filename, target: '/run/job/source' }],
      }
      const stream = await driver.runJob(spec.id, job, signal)
      stream.stdin.end()
      const [stdout, , exit] = await Promise.all([text(stream.stdout), text(stream.stderr!), stream.exit])
      expect({ stdout, exit }).toEqual({
        stdout: "// What every driver owes. Each adapter's test is a few lines that call it.\ntwo words\n",
        exit: { code: 9 },
      })
    })

    promise('an aborted job leaves no process', async (spec, signal) => {
      await driver.ensureDisk(spec.id, DISK_BYTES, signal)
      const abort = new AbortController()
      // It would write for ever; after the abort the file no longer grows.
      const script = 'while :; do echo x >> /workspaces/growing; echo begun; sleep 0.02; done'
      const job = { argv: ['/bin/sh', '-c', script], env: {}, reach: [], files: [] }
      const stream = await driver.runJob(spec.id, job, abort.signal)
      await new Promise(resolve => stream.stdout.once('data', resolve))
      drain(stream)
      abort.abort()
      expect(await stream.exit.catch(error => toFault(error).reason)).not.toEqual({ code: 0 })
      const sandbox = await driver.ensure(spec, signal)
      const sizes = await say(
        sandbox,
        'wc -c < /workspaces/growing; sleep 0.3; wc -c < /workspaces/growing',
        signal,
      )
      const [before, after] = sizes.trim().split(/\s+/)
      expect(after).toBe(before)
    })

    promise('two sandboxes share no files', async (spec, signal) => {
      const one = await start(spec, signal)
      const other = await start(specOf('brave-heron'), signal)
      await say(one, 'echo mine > /workspaces/file; echo mine > "${HOME:-/root}/file"', signal)
      expect(
        await say(other, 'cat /workspaces/file "${HOME:-/root}/file" 2>/dev/null; echo end', signal),
      ).toBe('end\n')
      expect(driver.folder(one.id)).not.toBe(driver.folder(other.id))
    })

    diskPromises({ driver: () => driver, promise, specOf, start, restart })

    promise('variables of the environment reach every command', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      expect(await say(sandbox, 'echo "$FROM_SPEC"', signal)).toBe('yes\n')
      const stream = await sandbox.exec(
        { argv: ['/bin/sh', '-c', 'echo "$FROM_SPEC"'], env: { FROM_SPEC: 'mine' } },
        signal,
      )
      stream.stdin.end()
      stream.stderr?.resume()
      expect(await text(stream.stdout)).toBe('mine\n')
    })

    promise('the host name inside is the name of the environment', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      expect(await say(sandbox, 'cat /proc/sys/kernel/hostname', signal)).toBe('calm-otter\n')
    })

    promise('exec after stop faults unavailable', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      await sandbox.stop(1_000)
      const refused = await sandbox.exec({ argv: ['true'] }, signal).then(
        () => 'ran',
        error => toFault(error).reason,
      )
      expect(refused).toBe('unavailable')
    })

    promise('an aborted ensure leaves nothing that runs', async (spec, signal) => {
      await driver.ensureDisk(spec.id, DISK_BYTES, signal)
      let epoch = 1
      for (const delayMs of [0, 1, 3, 8, 20, 50]) {
        const abort = new AbortController()
        const begun = driver.ensure({ ...spec, epoch }, abort.signal).then(
          sandbox => sandbox,
          error => toFault(error).reason,
        )
        if (delayMs > 0) await systemClock.sleep(delayMs, signal)
        abort.abort()
        const ended = await begun
        if (typeof ended === 'string') {
          expect(ended).toBe('cancelled')
          expect(await driver.find(spec.id), `aborted after ${delayMs} ms`).toBeUndefined()
        } else {
          await ended.stop(0) // It was quicker than the abort.
        }
        epoch += 1
      }
      const sandbox = await driver.ensure({ ...spec, epoch }, signal)
      expect(await say(sandbox, 'echo fine', signal)).toBe('fine\n')
    })

    promise('dial reaches a server on the loopback inside', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      // perl-base, which every Debian has: no other small listener is as common.
      const listen =
        '$|=1; my $s = IO::Socket::INET->new(Listen=>1,LocalAddr=>"127.0.0.1",LocalPort=>0) or die; print $s->sockport."\\n"; my $c=$s->accept; my $l=<$c>; print $c "echo $l"; close $c'
      const server = await sandbox.exec({ argv: ['perl', '-MIO::Socket::INET', '-e', listen] }, signal)
      server.stderr?.resume()
      const port = Number(await new Promise(resolve => server.stdout.once('data', resolve)))
      const socket = await sandbox.dial(port, signal)
      socket.write('hello\n')
      expect(await text(socket)).toBe('echo hello\n')
      socket.destroy()
      drain(server)
      expect(await server.exit).toEqual({ code: 0 })
    })

    promise('dial to a closed port faults unavailable', async (spec, signal) => {
      const sandbox = await start(spec, signal)
      const refused = await sandbox.dial(9, signal).then(
        () => 'connected',
        error => toFault(error).reason,
      )
      expect(refused).toBe('unavailable')
    })

    test('skips nothing that was never promised', () => {
      expect(Object.keys(skips).filter(each => !titles.has(each))).toEqual([])
    })

    promise('health says what it found', async () => {
      const health = await driver.health()
      expect(health.ok).toBe(health.checks.every(check => check.ok || !check.required))
      for (const check of health.checks) if (!check.ok) expect(check.hint ?? '').not.toBe('')
    })
  })
}

function drain(stream: ExecStream): void {
  // Writing to a command that ended is no error of this test.
  stream.stdin.on('error', () => undefined)
  stream.stdout.resume()
  stream.stderr?.resume()
}
