import { Fault } from '../../lib/fault.ts'
import type { Deps, Session } from '../deps.ts'
import { eventsAbout } from '../explain/events.ts'
import { explain } from '../explain/explain.ts'
import { renderExplanation } from '../explain/render.ts'
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
    const events = await eventsAbout(session.store, resource)
    const explanation = explain(resource, events, deps.clock.now())
    if (output === 'json' || output === 'yaml')
      await printValue({ ...explanation, object: asWritten(resource) }, output, deps)
    else
      deps.stdout.write(
        (index === 0 ? '' : '\n') + calledAs(renderExplanation(explanation, style), deps.program),
      )
  }
}
