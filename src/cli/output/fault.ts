import { type Fault, REASONS, toFault } from '../../lib/fault.ts'
import type { Deps } from '../deps.ts'
import { calledAs } from './called-as.ts'
import { styleFor } from './style.ts'
import { escapeControls, oneLine } from './text.ts'

type Reporting = Pick<Deps, 'stderr' | 'env' | 'program'>

/** The lines that tell a person about a fault: what was attempted, which fields are wrong, what can be done. */
export function describeFault(fault: Fault): { readonly headline: string; readonly details: string[] } {
  const causes = fault.causes
    .map(({ field, message }) => `${oneLine(field)}: ${oneLine(message)}`)
    // One wrong field fits into the headline, and is not said twice.
    .filter(text => fault.causes.length > 1 || !oneLine(fault.message).endsWith(text))
  const hint = fault.hint === undefined ? [] : [`hint: ${escapeControls(fault.hint)}`]
  return {
    headline: `${escapeControls(fault.message)} (${oneLine(fault.code)})`,
    details: [...causes, ...hint],
  }
}

/**
 * Prints whatever was thrown on standard error and returns the exit code of its reason. The stack of an error that
 * nobody planned for is for developers: BOTHY_DEBUG shows it, with all causes.
 */
export function reportFault(error: unknown, deps: Reporting): number {
  const fault = toFault(error)
  const style = styleFor(deps.stderr, deps.env)
  const { headline, details } = describeFault(fault)
  const lines = [`${style.red('error:')} ${headline}`, ...details.map(line => `  ${line}`)]
  if ((deps.env.BOTHY_DEBUG ?? '') !== '') lines.push(...stacks(error))
  else if (fault.code === 'unplanned') lines.push('  hint: set BOTHY_DEBUG=1 to see where this came from')
  deps.stderr.write(calledAs(`${lines.join('\n')}\n`, deps.program))
  return REASONS[fault.reason].exit
}

/** Of several faults: reports all but the last, and throws that. Nothing when there are none. */
export function raise(errors: readonly unknown[], deps: Reporting): void {
  for (const error of errors.slice(0, -1)) reportFault(error, deps)
  if (errors.length > 0) throw errors.at(-1)
}

function stacks(error: unknown): string[] {
  const lines: string[] = []
  for (let at = error; at instanceof Error; at = at.cause) lines.push(escapeControls(at.stack ?? at.message))
  return lines
}
