// Environments of the image with tools, and scripts in them as their owner runs them: with `bothy exec`.
import { openStack, type Stack, type StackOptions, testClass } from './stack.ts'
import { toolsImage } from './tools-image.ts'

export interface Machines {
  readonly stack: Stack
  /** Makes an environment of that name and waits until it runs. */
  create(name: string): Promise<void>
  /** Runs a script as root, or as `user`; throws with all that was said unless it ends with 0. Its output, trimmed. */
  run(name: string, script: string, user?: string): Promise<string>
  close(): Promise<void>
}

/** `spec`: what the environments' class says besides the image. */
export async function openMachines(
  spec: Readonly<Record<string, unknown>> = {},
  options: StackOptions = {},
): Promise<Machines> {
  const image = await toolsImage()
  const stack = await openStack(options)
  try {
    await stack.ok('apply -f -', { stdin: testClass('machine', image.reference, { disk: '4Gi', ...spec }) })
  } catch (error) {
    await stack.close()
    throw error
  }
  return {
    stack,
    create: async name => void (await stack.ok(`env create --empty --class machine --name ${name}`)),
    async run(name, script, user) {
      const who = user === undefined ? [] : ['--user', user]
      const argv = ['exec', ...who, name, '--', '/bin/sh', '-ec', script]
      const { code, stdout, stderr } = await stack.bothy(argv)
      if (code !== 0) throw new Error(`in ${name}: ${script}\nended with ${code}: ${stderr}\n${stdout}`)
      return stdout.trim()
    },
    close: () => stack.close(),
  }
}
