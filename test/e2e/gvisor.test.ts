// A class with isolation gVisor, as its users meet it: made, entered, stopped and started by the command line, and its walls
// tried by root inside.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { testImage } from '../support/image.ts'
import { lacking, titled } from '../support/requirements.ts'
import { openStack, type Stack, testClass } from '../support/stack.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['runsc', 'mmdebstrap'] })

describe.skipIf(reason !== undefined)(titled('an environment with gVisor', reason), () => {
  let stack: Stack
  const run = (script: string) => stack.ok(['exec', 'strong', '--', '/bin/sh', '-c', `${script}\ntrue`])

  beforeAll(async () => {
    stack = await openStack()
    const { reference } = await testImage()
    await stack.ok('apply -f -', { stdin: testClass('strong', reference, { isolation: 'gvisor' }) })
    await stack.ok('env create --empty --class strong --name strong')
  }, 300_000)
  afterAll(() => stack?.close())

  test('has another kernel, which says so', async () => {
    expect(await run('dmesg')).toContain('gVisor')
  })

  test('keeps its files over a stop, and runs on that kernel again', async () => {
    await run('echo kept > /workspaces/file; echo kept > /root/file')
    await stack.ok('env stop strong')
    await stack.ok('env start strong')
    expect(await run('cat /workspaces/file /root/file; dmesg | grep -c gVisor')).toMatch(/^kept\nkept\n[1-9]/)
  })

  test.each([
    [
      'reads no file of the host through processes',
      'cat /proc/*/root/etc/bothy-nothing /proc/1/root/run/bothy/slots/*',
    ],
    [
      'finds no disk of the host',
      'for d in /dev/vda /dev/sda /dev/loop0 /dev/nvme0n1; do head -c 1 $d; done',
    ],
    ['loads no module', 'perl -e \'print "loaded" if syscall(313, 0, "", 0) == 0\''],
    ['opens nothing by handle', 'perl -e \'print "opened" if syscall(304, -100, "\\0" x 64, 0) >= 0\''],
    [
      'reaches neither metadata, nor private networks, nor its gateway',
      'for a in 169.254.169.254 10.0.0.1 192.168.0.1 $(ip route | sed -n \'s/^default via \\([0-9.]*\\).*/\\1/p\'); do timeout 1 bash -c "echo > /dev/tcp/$a/22" && echo reached $a; done',
    ],
  ])('%s', async (_title, script) => {
    expect(await run(`echo '['; (${script}) 2>/dev/null; echo ']'`)).toBe('[\n]')
  })

  test('a runner says which isolations it has', async () => {
    const said = await stack.ok('get runners --output json')
    expect((JSON.parse(said) as { items: { status: object }[] }).items[0]?.status).toMatchObject({
      isolations: ['userns', 'gvisor'],
    })
  })

  test('a class with an isolation that nobody knows is refused, with the field named', async () => {
    const { code, stderr } = await stack.bothy('apply -f -', {
      stdin: testClass('wrong', 'debian:12', { isolation: 'vm' }),
    })
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/spec\.isolation/)
  })
})
