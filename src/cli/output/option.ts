import { type Command, Option } from 'commander'
import { FORMATS, type Format } from './formats.ts'

/** `-o`: every format, or those that make sense for what is printed. */
export function withOutput(command: Command, formats: readonly Format[] = FORMATS): Command {
  const option = new Option('-o, --output <format>', 'how to print').choices(formats).default(formats[0])
  return command.addOption(option)
}
