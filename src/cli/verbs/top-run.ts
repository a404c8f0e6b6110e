import { GROUP, VERSION } from '../../api/resource.ts'
import type { EnvironmentUsageList, EnvironmentUsageObject } from '../../api/usage.ts'
import type { Millis } from '../../lib/clock.ts'
import { toFault } from '../../lib/fault.ts'
import type { Deps, Session } from '../deps.ts'
import { terminalSize, watchSize } from '../exec/terminal.ts'
import { printValue } from '../output/formats.ts'
import { styleFor } from '../output/style.ts'
import { oneLine } from '../output/text.ts'
import { parseEnvironment } from '../targets.ts'
import { renderUsage } from '../top/render.ts'
import { isLive, openScreen, readKeys } from '../top/screen.ts'
import { SORT_KEYS, type Sort, sortUsage } from '../top/sort.ts'
import type { TopOptions } from './top.ts'

/** As often as runners tell while somebody looks. */
const EVERY_MS: Millis = 2_000
const INTERRUPT = '\u0003'

export async function runTop(
  session: Session,
  deps: Deps,
  words: readonly string[],
  options: TopOptions,
): Promise<void> {
  const { output } = options
  const names = words.map(word => parseEnvironment(word, session.namespace).name)
  const read = () => readUsage(session, names, options.allNamespaces === true, deps.signal)
  const first = await read()
  await missed(session, names, first)
  if (output === 'json' || output === 'yaml') {
    return printValue({ ...first, items: sortUsage(first.items, options.sort) }, output, deps)
  }
  if (options.once === true || !isLive(deps)) {
    if (first.items.length === 0) deps.stderr.write('Nothing is measured: no environment runs.\n')
    const text = frame(first, options.sort, options, deps, undefined)
    deps.stdout.write(first.items.length === 0 && first.runners.length === 0 ? '' : text)
    return
  }
  await live(deps, options, first, read)
}

async function live(
  deps: Deps,
  options: TopOptions,
  first: EnvironmentUsageList,
  read: () => Promise<EnvironmentUsageList>,
): Promise<void> {
  const { stdout, stdin, clock } = deps
  const ending = new AbortController()
  const signal = AbortSignal.any([deps.signal, ending.signal])
  let { sort } = options
  let latest = first
  let trouble = ''
  const screen = openScreen(stdout)
  const draw = () => {
    const { columns, rows } = terminalSize(stdout)
    const text = frame(latest, sort, options, deps, columns)
    const lines = (trouble === '' ? text : `${oneLine(trouble).slice(0, columns)}\n${text}`).split('\n')
    screen.draw(lines.slice(0, rows).join('\n'))
  }
  const restores = [
    watchSize(stdout, draw),
    readKeys(stdin, key => {
      if (key === 'q' || key === INTERRUPT) return ending.abort()
      const wanted = SORT_KEYS[key]
      if (wanted === undefined) return
      sort = wanted
      draw()
    }),
  ]
  try {
    for (;;) {
      draw()
      await clock.sleep(EVERY_MS, signal).catch(() => undefined) // Ended: the next line sees it.
      if (signal.aborted) break
      try {
        latest = await read()
        trouble = ''
      } catch (error) {
        if (signal.aborted) break
        const { reason, message } = toFault(error)
        // A server that is started again is back in a moment; what it refuses stays refused.
        if (reason !== 'unavailable' && reason !== 'timeout') throw error
        trouble = message
      }
    }
  } finally {
    for (const restore of restores) restore()
    screen.close()
  }
  // What was seen last stays readable.
  stdout.write(frame(latest, sort, options, deps, terminalSize(stdout).columns))
}

function frame(
  { items, runners }: EnvironmentUsageList,
  sort: Sort,
  { output, allNamespaces }: TopOptions,
  deps: Deps,
  columns: number | undefined,
): string {
  return renderUsage(sortUsage(items, sort), runners, {
    now: deps.clock.now(),
    style: styleFor(deps.stdout, deps.env),
    wide: output === 'wide',
    withNamespace: allNamespaces === true,
    ...(columns === undefined ? {} : { columns }),
  })
}

async function readUsage(
  session: Session,
  names: readonly string[],
  all: boolean,
  signal: AbortSignal,
): Promise<EnvironmentUsageList> {
  const scope = all ? '' : `/namespaces/${encodeURIComponent(session.namespace)}`
  const path = `/apis/${GROUP}/${VERSION}${scope}/environmentusages`
  const list = await session.request<EnvironmentUsageList>('GET', path, { signal })
  if (names.length === 0) return list
  const items = list.items.filter(each => names.includes(each.metadata.name))
  const hosts = new Set(items.map(hostOf))
  const runners = list.runners.filter(({ metadata }) => hosts.has(`${metadata.namespace}/${metadata.name}`))
  return { ...list, items, runners }
}

const hostOf = ({ metadata, runner }: EnvironmentUsageObject): string => `${metadata.namespace}/${runner}`

/** Why there is nothing of one that was named: the server knows. */
async function missed(session: Session, names: readonly string[], list: EnvironmentUsageList): Promise<void> {
  const known = new Set(list.items.map(each => each.metadata.name))
  const name = names.find(each => !known.has(each))
  if (name === undefined) return
  const namespace = encodeURIComponent(session.namespace)
  await session.request('GET', `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/environments/${name}/usage`)
}
