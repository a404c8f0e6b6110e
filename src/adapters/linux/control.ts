import type { Duplex } from 'node:stream'

/**
 * Reads the lines of a helper's control descriptor: each a word and fields, separated by tabs. `onClose` is called once
 * after the last line, however the helper ended.
 */
export function hearHelper(
  control: Duplex,
  onLine: (word: string, fields: readonly string[]) => void,
  onClose: () => void,
): void {
  let rest = ''
  control.setEncoding('utf8')
  control.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [word = '', ...fields] = line.split('\t')
      onLine(word, fields)
    }
  })
  control.on('error', () => undefined) // A helper that was killed resets the connection; 'close' follows and tells.
  control.once('close', onClose)
  // Half-closed is closed: a helper that is gone will not read either.
  control.once('end', () => control.destroy())
}
