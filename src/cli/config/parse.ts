import { Fault } from '../../lib/fault.ts'
import { type Config, checkConfig, type Wrong } from './contexts.ts'

/**
 * Faults with `malformed`, naming the line, or the field. `path` is for the message. The form that `formatConfig`
 * writes is read without loading what understands YAML, which takes a third of a short command's time.
 */
export async function parseConfig(text: string, path: string): Promise<Config> {
  const own = parseOwnForm(text)
  if (own !== undefined) return own
  return (await import('./yaml.ts')).parseYamlConfig(text, path)
}

function parseOwnForm(text: string): Config | undefined {
  try {
    const wrong: Wrong = (field, why) => new Fault('malformed', 'config-invalid', `${field.join('.')} ${why}`)
    return checkConfig(JSON.parse(text), wrong)
  } catch {
    // Written or changed by hand. Whether it is right is for the other form to say, with lines.
    return undefined
  }
}
