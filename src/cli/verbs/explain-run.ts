import { Fault } from '../../lib/fault.ts'
import type { Deps, Session } from '../deps.ts'
import { eventsAbout } from '../explain/events.ts'
import { explain } from '../explain/explain.ts'
import { renderExplanation } from '../explain/render.ts'
import { describeUsage, findUsage } from '../explain/usage.ts'
import { getResource } from '../get-resource.ts'
import { calledAs } from '../output/called-as.ts'
import { asWritten, type Format, printValue } from '../output/formats.ts'
import { styleFor } from '../output/style.ts'
import { keyIn, parseTargets } from '../targets.ts'

export async function runExplain(
  session: Session,
  deps: Deps,
  words: readonly string[],
  output: Format,
): Promise<void> {
  const keys = parseTargets(words).flatMap(({ kind, names }) =>
    names.map(name => keyIn(kind, name, session.namespace)),
  )
  if (keys.length === 0) {
    throw new Fault('invalid', 'target-missing', 'explain: no object is named', {
      hint: 'bothy explain KIND/NAME',
    })
  }
  const style = styleFor(deps.stdout, deps.env)
  for (const [index, key] of keys.entries()) {
    const resource = await getResource(session.store, key)
    const [events, used] = await Promise.all([
      eventsAbout(session.store, resource),
      findUsage(session, resource),
    ])
    const now = deps.clock.now()
    const usage = used === undefined ? [] : describeUsage(used, now)
    const explanation = { ...explain(resource, events, now), usage }
    if (output === 'json' || output === 'yaml')
      await printValue({ ...explanation, usage: used?.usage, object: asWritten(resource) }, output, deps)
    else
      deps.stdout.write(
        (index === 0 ? '' : '\n') + calledAs(renderExplanation(explanation, style), deps.program),
      )
  }
}
