import { oneLine } from './text.ts'

export interface Cell {
  readonly text: string
  /** Applied after padding, so that colours do not count as width. */
  readonly paint?: (text: string) => string
}

// As kubectl: three spaces between columns, none after the last.
const GAP = 3

/**
 * Columns as wide as their widest cell; headers in capitals. Ends with a line feed unless there is nothing at all.
 * `widths` of an earlier table of the same columns keep this one below it; they are widened by what is wider.
 */
export function formatTable(
  headers: readonly string[],
  rows: readonly (readonly (Cell | string)[])[],
  widths: number[] = [],
): string {
  const lines = [headers.map(header => cell(header.toUpperCase())), ...rows.map(row => row.map(cell))]
  for (const column of headers.keys())
    widths[column] = Math.max(widths[column] ?? 0, ...lines.map(line => width(line[column]?.text ?? '')))
  return lines.map(line => `${formatLine(line, widths)}\n`).join('')
}

function formatLine(line: readonly Cell[], widths: readonly number[]): string {
  return line
    .map(({ text, paint = plain => plain }, column) => {
      const last = column === line.length - 1
      return paint(text) + (last ? '' : ' '.repeat((widths[column] ?? 0) - width(text) + GAP))
    })
    .join('')
}

function cell(value: Cell | string): Cell {
  return typeof value === 'string' ? { text: oneLine(value) } : { ...value, text: oneLine(value.text) }
}

/** Code points, not UTF-16 units. Double-width letters come out one short each, as they do with kubectl. */
function width(text: string): number {
  return [...text].length
}
