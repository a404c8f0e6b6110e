import { expect, test } from 'vitest'
import { Fault, toFault } from './fault.ts'

const withCode = (code: string) => Object.assign(new Error(`${code}: write`), { code })

test.each([
  [new Fault('conflict', 'stale', 'x'), 'conflict', 'stale'],
  [new DOMException('over', 'AbortError'), 'cancelled', 'aborted'],
  [withCode('ENOSPC'), 'exhausted', 'no-room'],
  [withCode('EDQUOT'), 'exhausted', 'no-room'],
  [withCode('EIO'), 'internal', 'unplanned'],
  ['thrown text', 'internal', 'unplanned'],
])('%s is %s, %s', (thrown, reason, code) => {
  expect(toFault(thrown)).toMatchObject({ reason, code })
})
