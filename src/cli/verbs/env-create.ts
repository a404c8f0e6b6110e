import { parseSource } from '../content/source.ts'
import { createEnvironment } from '../create-environment.ts'
import type { Deps, Session } from '../deps.ts'
import { calledAs } from '../output/called-as.ts'
import { describeCreated } from '../output/created.ts'
import { type Format, printResources } from '../output/formats.ts'
import { styleFor } from '../output/style.ts'

export interface CreateOptions {
  readonly empty?: boolean
  readonly name?: string
  readonly class?: string
  readonly image?: string
  readonly ref?: string
  readonly wait: boolean
  readonly output: Format
}

export async function runCreate(
  session: Session,
  deps: Deps,
  text: string | undefined,
  options: CreateOptions,
): Promise<void> {
  const source = await parseSource(text, { empty: options.empty === true, cwd: deps.cwd })
  const { name, image, ref, wait, output } = options
  const created = await createEnvironment(session, deps, {
    source,
    name,
    className: options.class,
    image,
    ref,
    wait,
  })
  if (output === 'table' || output === 'wide') {
    deps.stdout.write(calledAs(describeCreated(created, styleFor(deps.stdout, deps.env)), deps.program))
    return
  }
  await printResources('Environment', [created.environment], output, {
    ...deps,
    single: true,
    bareNames: true,
  })
}
