import { Fault } from '../../lib/fault.ts'
import { parseSource, type Source } from '../content/source.ts'
import { type CreatedEnvironment, createEnvironment } from '../create-environment.ts'
import type { Deps, Session } from '../deps.ts'
import { getResource } from '../get-resource.ts'
import { calledAs } from '../output/called-as.ts'
import { describeCreated } from '../output/created.ts'
import { type Format, printResources } from '../output/formats.ts'
import { styleFor } from '../output/style.ts'
import { keyIn, parseEnvironment } from '../targets.ts'

export interface CreateOptions {
  readonly empty?: boolean
  readonly name?: string
  readonly class?: string
  readonly image?: string
  readonly ref?: string
  readonly snapshot?: string
  readonly disk?: string
  readonly wait: boolean
  readonly output: Format
}

export async function runCreate(
  session: Session,
  deps: Deps,
  text: string | undefined,
  options: CreateOptions,
): Promise<void> {
  const { name, image, ref, disk, wait, output } = options
  const source = await sourceFrom(session, deps, text, options)
  const request = { source, name, className: options.class, image, ref, disk, wait }
  await print(deps, await createEnvironment(session, deps, request), output)
}

async function sourceFrom(
  session: Session,
  deps: Deps,
  text: string | undefined,
  { empty = false, snapshot }: CreateOptions,
): Promise<Source> {
  if (snapshot === undefined) return parseSource(text, { empty, cwd: deps.cwd })
  if (text !== undefined || empty) {
    throw new Fault(
      'invalid',
      'source-ambiguous',
      `create: --snapshot and ${text ?? '--empty'} exclude each other`,
    )
  }
  const { name } = (await getResource(session.store, keyIn('Snapshot', snapshot, session.namespace))).metadata
  return { kind: 'snapshot', name }
}

export interface ForkOptions {
  readonly name?: string
  readonly class?: string
  readonly disk?: string
  readonly wait: boolean
  readonly output: Format
}

export async function runFork(
  session: Session,
  deps: Deps,
  word: string,
  options: ForkOptions,
): Promise<void> {
  const parent = await getResource(session.store, parseEnvironment(word, session.namespace))
  const { name, disk = parent.spec.disk, wait, output } = options
  const request = {
    source: { kind: 'environment', name: parent.metadata.name },
    className: options.class ?? parent.spec.class,
    ...{ name, disk, wait },
  } as const
  await print(deps, await createEnvironment(session, deps, request), output)
}

async function print(deps: Deps, created: CreatedEnvironment, output: Format): Promise<void> {
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
