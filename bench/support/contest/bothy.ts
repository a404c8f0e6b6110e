// Environments of a real server and runner, entered through the gateway.
import { keyOf, type Resource } from '../../../src/api/resource.ts'
import { openExec } from '../../../src/client/open-exec.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import type { BenchStack } from '../stack.ts'
import type { Contestant, Machine } from './contestant.ts'

const NAMESPACE = 'default'
const TTY = { columns: 120, rows: 40 }

export async function bothyMachines(
  stack: BenchStack,
  image: string,
  count: number,
  className = 'small',
): Promise<Contestant> {
  const { client } = stack
  const machines: Machine[] = []
  for (let index = 0; index < count; index++) {
    const created = await client.store.create({
      kind: 'Environment',
      metadata: { name: `machine-${index}`, namespace: NAMESPACE },
      spec: { desired: 'Running', class: className, content: { empty: {} }, image, env: {} },
    })
    machines.push(await machineOf(stack, created))
  }
  return { name: 'bothy', machines, close: async () => undefined }
}

async function machineOf({ client }: BenchStack, environment: Resource<'Environment'>): Promise<Machine> {
  const key = keyOf(environment)
  const deadline = systemClock.now() + 60_000
  for (;;) {
    const found = await client.store.find(key)
    if (found?.status.phase === 'Running') break
    if (found?.status.phase === 'Failed' || systemClock.now() > deadline)
      throw new Error(`${key.name} does not run: ${JSON.stringify(found?.status.conditions)}`)
    await systemClock.sleep(20)
  }
  return {
    async open(argv) {
      const grant = await client.entrance(key, 'exec')
      const stream = await openExec(grant, { argv, tty: TTY }, new AbortController().signal)
      stream.exit.catch(() => undefined) // The outputs end or err with it.
      stream.stdout.on('error', () => undefined)
      stream.stdin.on('error', () => undefined)
      return { input: stream.stdin, output: stream.stdout }
    },
  }
}
