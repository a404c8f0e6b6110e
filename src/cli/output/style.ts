import type { Output } from '../deps.ts'

/** Colours, or nothing at all. */
export interface Style {
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
}

const paint = (on: boolean, open: number, close: number) => (text: string) =>
  on ? `\u001b[${open}m${text}\u001b[${close}m` : text

/** Colours only on terminals, never with NO_COLOR (https://no-color.org: any non-empty value) or TERM=dumb. */
export function styleFor(
  stream: Pick<Output, 'isTTY'>,
  env: Readonly<Record<string, string | undefined>>,
): Style {
  const on = stream.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
  return {
    bold: paint(on, 1, 22),
    dim: paint(on, 2, 22),
    red: paint(on, 31, 39),
    green: paint(on, 32, 39),
    yellow: paint(on, 33, 39),
  }
}

export const PLAIN: Style = styleFor({}, {})
