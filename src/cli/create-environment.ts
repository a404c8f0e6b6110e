// `env create`, without its options: also what `up` uses for the first environment.
import type { EnvironmentSpec } from '../api/kinds/environment.ts'
import type { Key, Resource } from '../api/resource.ts'
import type { Millis } from '../lib/clock.ts'
import { Fault, isFault } from '../lib/fault.ts'
import { type Bundle, openBundle } from './content/bundle.ts'
import { randomName } from './content/names.ts'
import type { Source } from './content/source.ts'
import { Upload } from './content/upload.ts'
import type { Deps, Session } from './deps.ts'
import { escapeControls } from './output/text.ts'
import { awaitOutcome } from './wait/await-outcome.ts'
import { openDisplay } from './wait/display.ts'

export interface CreateRequest {
  readonly source: Source
  /** Default: a random one. */
  readonly name?: string | undefined
  readonly className?: string | undefined
  readonly image?: string | undefined
  readonly ref?: string | undefined
  /** Size of its disk. */
  readonly disk?: string | undefined
  /** False: return once it is declared (and, from a folder, once its files are sent). */
  readonly wait: boolean
  /** One that was declared before from the same source and is not finished: it is gone on with, files and all. */
  readonly unfinished?: Resource<'Environment'>
}

export interface CreatedEnvironment {
  readonly environment: Resource<'Environment'>
  /** From the request to the outcome, as the user saw it. */
  readonly tookMs: Millis
}

type CreateDeps = Pick<Deps, 'clock' | 'signal' | 'stderr' | 'env'>

/** Faults as the server does; when the environment fails, with its reason, its hint, and where to read more. */
export async function createEnvironment(
  session: Session,
  deps: CreateDeps,
  request: CreateRequest,
): Promise<CreatedEnvironment> {
  const sinceMs = deps.clock.now()
  const { source, ref } = request
  if (source.kind !== 'folder') {
    if (ref !== undefined && source.kind !== 'git') {
      throw new Fault('invalid', 'ref-without-repository', `create: --ref ${ref} needs a GIT_URL or a FOLDER`)
    }
    return declareAndWait(session, deps, request, undefined, sinceMs)
  }
  const bundle = await pack(deps, source.path, ref)
  try {
    for (const remark of bundle.remarks) deps.stderr.write(`note: ${escapeControls(remark)}\n`)
    return await declareAndWait(session, deps, request, bundle, sinceMs)
  } finally {
    await bundle.close()
  }
}

/** A big folder takes a while, and nobody should wonder. */
async function pack(deps: CreateDeps, folder: string, ref: string | undefined): Promise<Bundle> {
  const display = openDisplay(deps)
  try {
    display.show([], 'packing files')
    return await openBundle(folder, { ref, env: deps.env, signal: deps.signal })
  } catch (cause) {
    if (!deps.signal.aborted) throw cause
    throw new Fault('cancelled', 'wait-interrupted', `send ${folder}: interrupted`, {
      cause,
      hint: 'no environment has been made yet',
    })
  } finally {
    display.close()
  }
}

async function declareAndWait(
  session: Session,
  deps: CreateDeps,
  request: CreateRequest,
  bundle: Bundle | undefined,
  sinceMs: Millis,
): Promise<CreatedEnvironment> {
  const declared = request.unfinished ?? (await declare(session, request, specFor(request, bundle)))
  const { name } = declared.metadata
  const key: Key<'Environment'> = { kind: 'Environment', namespace: session.namespace, name }
  const took = (environment: Resource<'Environment'>) => ({ environment, tookMs: deps.clock.now() - sinceMs })
  if (!request.wait && bundle === undefined) return took(declared)
  const upload = bundle === undefined ? undefined : new Upload(session, deps.clock, key, bundle)
  try {
    const environment = await awaitOutcome({
      session,
      deps,
      key,
      wanted: 'Running',
      attempted: 'create',
      known: declared,
      signal: upload === undefined ? deps.signal : AbortSignal.any([deps.signal, upload.failed]),
      onState: state => upload?.observe(state),
      isEnough: () => !request.wait && upload?.isSent === true,
      interrupted: () => whatIsLeft(name, upload),
    })
    return took(environment ?? declared)
  } finally {
    await upload?.close()
  }
}

/** For whoever interrupts the wait. */
function whatIsLeft(name: string, upload: Upload | undefined): string {
  if (upload?.isSent === false) return `its files were not sent; give it up: bothy env delete ${name}`
  return `it goes on without you: bothy get environment ${name} --watch\n  or give it up: bothy env delete ${name}`
}

/** A random name may be taken; another one will not be. */
async function declare(
  session: Session,
  request: CreateRequest,
  spec: EnvironmentSpec,
): Promise<Resource<'Environment'>> {
  const { namespace } = session
  for (let attempt = 1; ; attempt++) {
    const name = request.name ?? randomName()
    try {
      return await session.store.create({ kind: 'Environment', metadata: { name, namespace }, spec })
    } catch (error) {
      if (!isFault(error) || error.reason !== 'already_exists') throw error
      if (request.name === undefined && attempt < 10) continue
      throw new Fault('already_exists', 'name-taken', error.message, {
        cause: error,
        hint: `choose another --name, enter it with 'bothy shell ${name}', or delete it: bothy env delete ${name}`,
      })
    }
  }
}

/** What the user said and nothing more: the server knows the defaults. */
function specFor(
  { source, className, image, ref, disk }: CreateRequest,
  bundle: Bundle | undefined,
): EnvironmentSpec {
  const content = contentFor(source, ref, bundle)
  const spec = {
    content,
    ...(className === undefined ? {} : { class: className }),
    ...(image === undefined ? {} : { image }),
    ...(disk === undefined ? {} : { disk }),
  }
  // The server fills in what is left out; only then is it the whole type.
  return spec as unknown as EnvironmentSpec
}

function contentFor(source: Source, ref: string | undefined, bundle: Bundle | undefined): object {
  const at = ref === undefined ? {} : { ref }
  switch (source.kind) {
    case 'empty':
      return { empty: {} }
    case 'git':
      return { git: { url: source.url, ...at } }
    case 'snapshot':
    case 'environment':
      return { [source.kind]: { name: source.name } }
    case 'folder': {
      const { origin } = bundle ?? {}
      return { upload: { directory: source.directory, ...at, ...(origin === undefined ? {} : { origin }) } }
    }
  }
}
