// Where no image can be mounted a disk is a folder: on a file system that shares blocks between files, and on one that
// does not. What cannot hold then is named here, and nothing else is left out.
import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { testImage } from '../../../test/support/image.ts'
import { lacking, titled } from '../../../test/support/requirements.ts'
import { type DriverPromise, driverContract } from '../../core/driver.contract.ts'
import type { Sandbox, UnpackedImage } from '../../core/driver.ts'
import { say } from '../../core/driver-disks.contract.ts'
import { systemClock } from '../../lib/clock.ts'
import { isFault, toFault } from '../../lib/fault.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { mustRun } from '../../lib/run-process.ts'
import { detectCgroups } from './cgroups.ts'
import { createLinuxDriver, type LinuxDriver } from './driver.ts'
import { Freezer } from './freezer.ts'
import { diskFolder, layoutOf, treeOf } from './layout.ts'

const NO_LIMIT = 'a folder has no size: inside, all of the host’s room is seen'
const CANNOT_HOLD: Partial<Record<DriverPromise, string>> = {
  'a disk grows while its sandbox runs': NO_LIMIT,
  'a disk grows when it is stopped': NO_LIMIT,
}
const MIB = 2 ** 20
/** Of a busy machine. */
const PATIENCE = { timeout: 20_000, interval: 1 }

function pidOf(program: string, argument: string): number {
  for (const pid of readdirSync('/proc').filter(each => /^\d+$/.test(each))) {
    try {
      const said = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      if (said.includes(program) && said.includes(argument)) return Number(pid)
    } catch {
      // Ended while we looked.
    }
  }
  throw new Error(`no process ${program}`)
}

describe.each([
  ['ext4', ['mkfs.ext4', '-q', '-F', '-m', '0'], false],
  ['xfs', ['mkfs.xfs', '-q', '-m', 'reflink=1'], true],
] as const)('folders for disks on %s', (type, format, shares) => {
  const why = whyNoSandboxes() ?? lacking({ programs: [format[0]] })
  describe.skipIf(why !== undefined)(titled(type, why), () => {
    const shortId = testShortId()
    const signal = () => AbortSignal.timeout(60_000)
    let folder: string
    let dir: string
    let image: UnpackedImage
    const open = () =>
      createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog, disks: 'directory' })

    beforeAll(async () => {
      folder = await mkdtemp('/var/tmp/bothy-folders-')
      await chmod(folder, 0o755)
      dir = join(folder, 'host')
      await mkdir(dir)
      const file = join(folder, 'host.img')
      await mustRun(['truncate', '--size', '4G', file])
      await mustRun([...format, file])
      await mustRun(['mount', '-o', 'loop', file, dir])
      image = await testImage()
    }, 300_000)
    afterAll(async () => {
      const driver = open()
      await driver.prepare(AbortSignal.timeout(30_000))
      await driver.teardown()
      expect(leftovers(shortId)).toEqual([])
      await mustRun(['umount', dir])
      await rm(folder, { recursive: true })
    })

    driverContract(
      `folders on ${type}`,
      async () => {
        const driver = open()
        return { driver, image, close: () => driver.close() }
      },
      CANNOT_HOLD,
    )

    describe('a disk', () => {
      let driver: LinuxDriver
      const made: string[] = []
      const limits = { memoryBytes: 512 * MIB, pids: 512 }
      const start = async (id = uuidv7(), epoch = 1): Promise<Sandbox> => {
        made.push(id)
        await driver.ensureDisk(id, 256 * MIB, signal())
        return driver.ensure({ id, name: 'calm-otter', epoch, image, env: {}, ...limits }, signal())
      }
      const usedBytes = async () => {
        await mustRun(['sync', '-f', dir])
        const { blocks, bfree, bsize } = await statfs(dir)
        return (blocks - bfree) * bsize
      }

      beforeAll(async () => {
        driver = open()
        await driver.prepare(signal())
      }, 60_000)
      afterEach(async () => {
        for (const id of made.splice(0)) await driver.destroy(id)
      })
      afterAll(() => driver.close())

      test('is a folder that only root of the host comes to, whatever is in it', async () => {
        const sandbox = await start()
        await say(sandbox, 'cp /usr/bin/id /workspaces/; chmod 4755 /workspaces/id', signal())
        expect(await say(sandbox, 'su -s /bin/sh nobody -c "/workspaces/id -u"', signal())).toBe('0\n')
        const disk = diskFolder(layoutOf(shortId, dir, 'directory'), sandbox.id)
        const owned = await stat(join(disk, 'tree/workspaces/id'))
        expect([owned.uid, owned.mode & 0o7777]).toEqual([0, 0o4755])
        expect((await stat(disk)).mode & 0o777).toBe(0o700)
        const outside = mustRun([join(disk, 'tree/workspaces/id'), '-u'], { uid: 65534, gid: 65534 })
        await expect(outside).rejects.toThrow(/EACCES/)
      })

      test('lets nobody inside do to the file system what root of the host may', async () => {
        const sandbox = await start()
        // FIFREEZE, FITRIM, shutdown, FS_IOC_SETFLAGS (immutable, append-only): EPERM is 1.
        const calls = ['0xC0045877', '0xC0185879', '0x8004587D', '0x40086602 16', '0x40086602 32']
          .map(each => each.split(' '))
          .map(
            ([call, flags = '0']) =>
              `ioctl($d, ${call}, my $n = pack("Q3", ${flags}, 0, 0)); print $!+0, " ";`,
          )
        const script = `open my $d, "<", "/workspaces" or die; ${calls.join('')} print chroot("/workspaces/..") && -e "disks" ? "out" : "in"`
        expect(await say(sandbox, `perl -e '${script}'`, signal())).toBe('1 1 1 1 1 in')
        // What the runner keeps beside the disk is above what is shown.
        const above =
          'cd /workspaces; ls ../../size ../size ../environment.json /workspaces/../../../.. 2>/dev/null'
        expect(await say(sandbox, `${above} | grep -cE 'size|environments'; true`, signal())).toBe('0\n')
      })

      test('brings along what was deleted from the image, links, holes and capabilities', async () => {
        const source = await start()
        const script = `rm -r /usr/share/doc /etc/issue; mkdir /usr/share/doc; ln /workspaces/one /workspaces/other
          truncate -s 100M /workspaces/holes; mkfifo /workspaces/pipe; chown 1000:1000 /workspaces/pipe`
        await say(source, `echo 1 >/workspaces/one; ${script}`, signal())
        const copy = uuidv7()
        const before = await usedBytes()
        await driver.copyDisk(copy, { environment: source.id }, signal())
        expect((await usedBytes()) - before).toBeLessThan(20 * MIB)
        const look = `ls -A /usr/share/doc; [ -e /etc/issue ] || echo gone; stat -c '%h %F %u' /workspaces/*`
        expect(await say(await start(copy), look, signal())).toBe(await say(source, look, signal()))
      })

      test(`${shares ? 'shares' : 'does not share'} blocks with its copies`, async () => {
        const source = await start()
        await say(source, 'dd if=/dev/urandom of=/workspaces/big bs=1M count=200 2>/dev/null', signal())
        await source.stop(0)
        const before = await usedBytes()
        const copy = uuidv7()
        made.push(copy)
        expect(await driver.copyDisk(copy, { environment: source.id }, signal())).toEqual({ pausedMs: 0 })
        const taken = (await usedBytes()) - before
        if (shares) expect(taken).toBeLessThan(20 * MIB)
        else expect(taken).toBeGreaterThan(190 * MIB)
      })

      test('is copied at one moment while it is written to, and how long that took is said', async () => {
        const source = await start()
        // Two files that only ever differ by the one line that is being written.
        const writer = 'i=0; while :; do i=$((i+1)); echo $i >>a; echo $i >>b; done'
        await say(source, `cd /workspaces; (${writer}) </dev/null >/dev/null 2>&1 &`, signal())
        await say(source, 'until [ -s /workspaces/b ]; do sleep 0.05; done', signal())
        const copy = uuidv7()
        const copied = await driver.copyDisk(copy, { environment: source.id }, signal())
        expect(copied?.pausedMs).toBeGreaterThan(0)
        const [a, b] = (await say(await start(copy), 'wc -l </workspaces/a; wc -l </workspaces/b', signal()))
          .trim()
          .split('\n')
          .map(Number)
        expect([0, 1]).toContain(a! - b!)
        const count = async () => Number(await say(source, 'wc -l </workspaces/b', signal()))
        const then = await count()
        await vi.waitFor(async () => expect(await count()).toBeGreaterThan(then), PATIENCE)
      })

      test('whose sandbox is stopped in the middle of a copy is copied the next time', async () => {
        const source = await start()
        await say(source, 'for i in $(seq 3000); do echo $i >/workspaces/$i; done', signal())
        const copy = uuidv7()
        made.push(copy)
        const copying = driver.copyDisk(copy, { environment: source.id }, signal()).catch(toFault)
        const layout = layoutOf(shortId, dir, 'directory')
        await vi.waitFor(() => expect(existsSync(join(dir, 'environments', copy))).toBe(true), PATIENCE)
        await source.stop(0)
        const result = await copying
        if (isFault(result)) {
          expect(result).toMatchObject({ reason: 'unavailable', code: 'disk-copy' })
          expect(await readdir(join(dir, 'environments', copy))).toEqual([])
          await driver.copyDisk(copy, { environment: source.id }, signal())
        }
        expect((await readdir(join(diskFolder(layout, copy), 'tree/workspaces'))).length).toBe(3000)
      })

      const fits = shares ? 'blocks that are shared need no room' : undefined
      test.skipIf(shares)(titled('that does not fit is not there at all, and says why', fits), async () => {
        const source = await start()
        await say(source, 'dd if=/dev/zero of=/workspaces/big bs=1M count=1500 2>/dev/null', signal())
        await source.stop(0)
        const filler = join(dir, 'filler')
        const { bavail, bsize } = await statfs(dir)
        // A third of the host must be free for a copy to begin.
        await mustRun(['fallocate', '--length', String(bavail * bsize - 1450 * MIB), filler])
        const copy = uuidv7()
        made.push(copy)
        const before = await usedBytes()
        let least = Number.POSITIVE_INFINITY
        const looking = setInterval(() => {
          const now = statfsSync(dir)
          least = Math.min(least, now.bavail * now.bsize)
        }, 10)
        const refused = await driver.copyDisk(copy, { environment: source.id }, signal()).catch(toFault)
        clearInterval(looking)
        expect(refused).toMatchObject({ reason: 'exhausted', code: 'host-full', hint: expect.any(String) })
        // Nobody else was left without any.
        expect(least).toBeGreaterThan(200 * MIB)
        expect(await driver.findDisk(copy)).toBeUndefined()
        expect(await readdir(join(dir, 'environments', copy))).toEqual([])
        expect((await usedBytes()) - before).toBeLessThan(MIB)
        await rm(filler)
        expect(await driver.copyDisk(copy, { environment: source.id }, signal())).toBeDefined()
      })

      test('is not copied while a job writes to it', async () => {
        const source = await start()
        await say(source, 'for i in $(seq 2000); do echo $i >/workspaces/$i; done', signal())
        await source.stop(0)
        for (let round = 0; round < 3; round++) {
          const copy = uuidv7()
          made.push(copy)
          const argv = ['/bin/sh', '-c', 'echo on; sleep 0.5; echo off']
          const told: string[] = []
          const running = driver.runJob(source.id, { argv, env: {}, reach: [], files: [] }, signal())
          const copying = driver.copyDisk(copy, { environment: source.id }, signal())
          const copied = copying.then(() => told.push('copied'))
          const job = await running
          job.stdout.on('data', (said: Buffer) => told.push(...said.toString().trim().split('\n')))
          await Promise.all([job.exit, copied])
          expect(told.join()).toMatch(/^(copied,on,off|on,off,copied)$/)
        }
      })

      test('is counted, whatever is in it', async () => {
        const sandbox = await start()
        await say(sandbox, 'dd if=/dev/urandom of=/workspaces/big bs=1M count=40 2>/dev/null; sync', signal())
        const snapshot = uuidv7()
        await driver.takeSnapshot(snapshot, sandbox.id, signal())
        const kept = await driver.findSnapshot(snapshot)
        expect(kept?.sizeBytes).toBe(256 * MIB)
        expect(kept?.usedBytes).toBeGreaterThan(40 * MIB)
        expect(kept?.usedBytes).toBeLessThan(60 * MIB)
        await driver.destroySnapshot(snapshot)
      })

      test('is let go when whoever copies it is killed', { timeout: 60_000 }, async () => {
        const source = await start()
        await say(source, 'for i in $(seq 10000); do echo $i >/workspaces/$i; done', signal())
        const copy = uuidv7()
        made.push(copy)
        const copying = driver.copyDisk(copy, { environment: source.id }, signal()).catch(toFault)
        const copier = await vi.waitFor(() => pidOf('copy-tree.pl', copy), PATIENCE)
        process.kill(copier, 'SIGKILL')
        expect(await copying).toMatchObject({ reason: 'unavailable', code: 'disk-copy' })
        expect(await readdir(join(dir, 'environments', copy))).toEqual([])
        expect(() => pidOf('cp', copy)).toThrow(/no process/)
        expect(await say(source, 'echo on', signal())).toBe('on\n')
      })

      test('goes, however deep it was filled', async () => {
        const sandbox = await start()
        const deep = 'cd /workspaces; perl -e \'for (1..400) { mkdir "d" x 200; chdir "d" x 200 }\''
        await say(sandbox, deep, signal())
        await driver.destroy(sandbox.id)
        expect(await readdir(join(dir, 'environments'))).toEqual([])
      })

      test('is left alone by a runner that would keep images', async () => {
        expect(readFileSync(join(dir, 'disks'), 'utf8')).toBe('directory\n')
        const other = createLinuxDriver({
          ...{ shortId: testShortId(), dir, clock: systemClock, log: silentLog },
          disks: 'image',
        })
        await expect(other.prepare(signal())).rejects.toMatchObject({
          reason: 'unsupported',
          code: 'disk-mode',
          hint: expect.stringMatching(/disks: directory.*--data/),
        })
        const { checks } = await driver.health()
        expect(checks.find(({ name }) => name === 'disks')).toMatchObject({
          ok: false,
          required: false,
          found: expect.stringMatching(/no size limit.*copies take as long/),
        })
        const auto = createLinuxDriver({ shortId: testShortId(), dir, clock: systemClock, log: silentLog })
        await auto.prepare(signal())
        expect(auto.poolDir).toBe(dir)
        await auto.teardown()
      })

      test('of a sandbox that a killed runner held is written to again under the next one', async () => {
        const sandbox = await start()
        const writer = 'while :; do date +%s%N >/workspaces/now; done'
        await say(sandbox, `(${writer}) </dev/null >/dev/null 2>&1 &`, signal())
        const layout = layoutOf(shortId, dir, 'directory')
        const now = async () =>
          readFileSync(join(treeOf(diskFolder(layout, sandbox.id)), 'workspaces/now'), 'utf8')
        await vi.waitFor(now, PATIENCE)
        await new Freezer(await detectCgroups(), layout).hold(sandbox.id, 'room', true)
        const next = open()
        await next.prepare(signal())
        const over = new AbortController()
        const looking = next.keepRoom(() => undefined, over.signal)
        const then = await now()
        await vi.waitFor(async () => expect(await now()).not.toBe(then), PATIENCE)
        over.abort()
        await looking
        await next.close()
      })
    })
  })
})
