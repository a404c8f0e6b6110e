import type { Deps, Session } from '../deps.ts'
import { getResource } from '../get-resource.ts'
import { calledAs } from '../output/called-as.ts'
import { type Format, printResources } from '../output/formats.ts'
import { parseEnvironment } from '../targets.ts'

export async function runList(session: Session, deps: Deps, output: Format): Promise<void> {
  const { items } = await session.store.list('Environment', { namespace: session.namespace })
  if (items.length === 0 && (output === 'table' || output === 'wide')) {
    const said = `There are no environments in ${session.namespace}. Make one: bothy env create GIT_URL\n`
    deps.stderr.write(calledAs(said, deps.program))
    return
  }
  const sorted = items.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  await printResources('Environment', sorted, output, { ...deps, bareNames: true })
}

export async function runGet(session: Session, deps: Deps, name: string, output: Format): Promise<void> {
  const environment = await getResource(session.store, parseEnvironment(name, session.namespace))
  await printResources('Environment', [environment], output, { ...deps, bareNames: true, single: true })
}
