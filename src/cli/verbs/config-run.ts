import { Fault } from '../../lib/fault.ts'
import { getContext } from '../config/contexts.ts'
import { loadConfig, saveConfig } from '../config/file.ts'
import { configPath } from '../config/paths.ts'
import type { Deps } from '../deps.ts'
import { calledAs } from '../output/called-as.ts'
import { formatTable } from '../output/table.ts'
import { oneLine } from '../output/text.ts'

const load = (deps: Deps) =>
  loadConfig(configPath(deps.env), message => void deps.stderr.write(`${oneLine(message)}\n`))

/** Tokens are never printed. */
export async function listContexts(deps: Deps): Promise<void> {
  const { contexts, current } = await load(deps)
  const rows = contexts.map(({ name, server, namespace }) => [
    name === current ? '*' : '',
    name,
    server,
    namespace,
  ])
  if (rows.length === 0)
    deps.stderr.write(calledAs("There are no contexts yet: 'bothy up' makes one.\n", deps.program))
  else deps.stdout.write(formatTable(['current', 'name', 'server', 'namespace'], rows))
}

export async function printCurrent(deps: Deps): Promise<void> {
  const { current } = await load(deps)
  if (current === undefined) {
    throw new Fault('not_found', 'context-none', 'no context is in use', {
      hint: 'bothy config use-context NAME',
    })
  }
  deps.stdout.write(`${oneLine(current)}\n`)
}

export async function useContext(deps: Deps, name: string): Promise<void> {
  const config = await load(deps)
  getContext(config, name)
  await saveConfig(configPath(deps.env), { ...config, current: name })
  deps.stdout.write(`Switched to context ${oneLine(name)}.\n`)
}
