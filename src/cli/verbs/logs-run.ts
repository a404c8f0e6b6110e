import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { StringDecoder } from 'node:string_decoder'
import type { Deps, Session } from '../deps.ts'
import { escapeControls } from '../output/text.ts'
import { parseEnvironment } from '../targets.ts'

/** Copies the log to standard output; to a terminal without what it would obey. */
export async function runLogs(
  session: Session,
  deps: Deps,
  name: string,
  { follow, tail }: { readonly follow: boolean; readonly tail: number | undefined },
): Promise<void> {
  const key = parseEnvironment(name, session.namespace)
  const grant = await session.entrance(key, 'logs')
  const log = await session.openLogs(grant, { follow, ...(tail === undefined ? {} : { tail }) }, deps.signal)
  if (deps.stdout.isTTY === true) await pipeline(log, harmless(), deps.stdout, { end: false })
  else await pipeline(log, deps.stdout, { end: false })
}

/** Carriage returns before line feeds are dropped: in a log they are no more than the other way to end a line. */
function harmless(): Transform {
  const decoder = new StringDecoder('utf8')
  const clean = (text: string) => escapeControls(text.replaceAll('\r\n', '\n'))
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => done(null, clean(decoder.write(chunk))),
    flush: done => done(null, clean(decoder.end())),
  })
}
