// What a class says of networks and devices, as its users meet it: running environments follow, and absent devices wait.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findCondition } from '../../src/api/conditions.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { testImage } from '../support/image.ts'
import { FAR_PORTS, type Internet, openInternet } from '../support/internet.ts'
import { titled } from '../support/requirements.ts'
import { openStack, type Stack, testClass } from '../support/stack.ts'

const reason = whyNoSandboxes()
const [ONE, TWO, PRIVATE] = ['203.0.113.21', '203.0.113.22', '10.213.79.7']

describe.skipIf(reason !== undefined)(titled('a class', reason), () => {
  let stack: Stack
  let internet: Internet
  const apply = async (spec: Readonly<Record<string, unknown>>, name = 'walled') =>
    stack.ok('apply -f -', { stdin: testClass(name, (await testImage()).reference, spec) })
  const hello = async (host: string) => {
    const script = `timeout 1 bash -c 'exec 3<>/dev/tcp/${host}/${FAR_PORTS.hello} && read -t 1 line <&3 && echo $line' 2>/dev/null || echo nobody`
    return stack.ok(['exec', 'walled', '--', 'bash', '-c', script])
  }
  /** Asks until it is so: a class is followed when the runner hears of it. */
  const says = async (ask: () => Promise<string>, expected: RegExp) => {
    const deadline = performance.now() + 20_000
    for (let said = await ask(); !expected.test(said); said = await ask())
      if (performance.now() > deadline) throw new Error(`${said} is not ${expected}`)
  }

  beforeAll(async () => {
    internet = await openInternet([ONE, TWO, PRIVATE], {})
    stack = await openStack({ runner: async () => ({ network: { allow: ['10.213.79.0/24'] } }) })
    await apply({ network: { egress: { default: 'Deny', allow: [ONE] } } })
    await stack.ok('env create --empty --class walled --name walled')
  }, 300_000)
  afterAll(async () => {
    await stack?.close()
    await internet?.close()
  })

  test('is followed by what runs when it changes, and by what starts again', async () => {
    expect([await hello(ONE), await hello(TWO)]).toEqual(['hello', 'nobody'])
    await apply({ network: { egress: { default: 'Deny', allow: [TWO, PRIVATE] } } })
    await says(() => hello(TWO), /hello/)
    expect([await hello(ONE), await hello(PRIVATE)]).toEqual(['nobody', 'hello'])
    await stack.ok('env stop walled')
    await stack.ok('env start walled')
    expect([await hello(ONE), await hello(PRIVATE)]).toEqual(['nobody', 'hello'])
    await apply({})
    await says(() => hello(ONE), /hello/)
    expect(await hello(PRIVATE)).toBe('nobody')
  })

  test('that allows what the operator does not is told so, and works otherwise', async () => {
    await apply({ network: { egress: { allow: ['192.168.0.0/16'] } } })
    const told = await stack.until(
      'Environment',
      'walled',
      found =>
        found !== undefined && findCondition(found.status.conditions, 'NetworkReady')?.status === 'False',
    )
    const condition = findCondition(told!.status.conditions, 'NetworkReady')
    expect(condition).toMatchObject({ reason: 'EgressNotPermitted' })
    expect(condition?.message).toContain('192.168.0.0/16')
    expect(condition?.hint).toContain('runner.yaml')
    expect(told!.status.phase).toBe('Running')
    await apply({})
    await stack.until(
      'Environment',
      'walled',
      found =>
        found !== undefined && findCondition(found.status.conditions, 'NetworkReady')?.status === 'True',
    )
  })

  test('that makes no sense is refused, with the field named', async () => {
    const { code, stderr } = await stack.bothy('apply -f -', {
      stdin: testClass('wrong', 'debian:12', {
        network: { egress: { allow: ['2001:db8::/32'] } },
        devices: ['gpu'],
      }),
    })
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/spec\.network\.egress\.allow.*IPv6/)
    expect(stderr).toMatch(/spec\.devices.*nvidia\.com\/gpu=all/)
  })

  test('that asks for an absent device keeps its environments waiting, and says which is missing where', async () => {
    await apply({ devices: ['acme.test/none=0'] }, 'equipped')
    await stack.bothy('env create --empty --class equipped --name equipped --no-wait')
    const waiting = await stack.until(
      'Environment',
      'equipped',
      found =>
        found !== undefined && findCondition(found.status.conditions, 'Scheduled')?.reason === 'DeviceAbsent',
    )
    expect(waiting!.status.phase).toBe('Pending')
    const { message } = findCondition(waiting!.status.conditions, 'Scheduled')!
    expect(message).toMatch(/runner '.+' lacks acme\.test\/none=0/)
    await says(() => stack.ok('get events'), /FailedScheduling.*acme\.test\/none=0/)
    await apply({}, 'equipped')
    await stack.until('Environment', 'equipped', found => found?.status.phase === 'Running')
  })
})
