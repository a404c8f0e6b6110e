import { REASONS } from '../../lib/fault.ts'
import type { Deps, DoctorOptions, DoctorReport } from '../deps.ts'
import { printValue } from '../output/formats.ts'
import { type Style, styleFor } from '../output/style.ts'
import { escapeControls, oneLine } from '../output/text.ts'

/** Prints what was found; the exit code says whether environments can run here. */
export async function runDoctor(deps: Deps, options: DoctorOptions, output: string): Promise<number> {
  const report = await deps.doctor(options)
  if (output === 'json') await printValue(report, 'json', deps)
  else deps.stdout.write(renderReport(report, styleFor(deps.stdout, deps.env)))
  return report.ok ? 0 : REASONS.unsupported.exit
}

export function renderReport({ ok, checks }: DoctorReport, style: Style): string {
  const lines = checks.flatMap(({ name, ok: isFine, required, found, hint }) => {
    const mark = isFine ? style.green('✓') : required ? style.red('✗') : style.yellow('!')
    const line = `${mark} ${oneLine(name)}: ${oneLine(found)}`
    return isFine || hint === undefined ? [line] : [line, `    ${escapeControls(hint)}`]
  })
  const missing = checks.filter(check => check.required && !check.ok).length
  const verdict = ok
    ? style.green('Environments can run on this machine.')
    : `${style.red('Environments cannot run on this machine')}: ${missing} of what they need ${missing === 1 ? 'is' : 'are'} missing.`
  return `${[...lines, '', verdict].join('\n')}\n`
}
