// How a test run marks what it puts on the host, so that a later run knows what a killed one left.
import { isAlive, startTimeOf } from '../../src/adapters/postgres/embedded/postmaster.ts'

const PREFIX = 'bothy-test'

/** Names this process, apart from a later one with the same number. */
export async function testLabel(): Promise<string> {
  return `${PREFIX}-${process.pid}-${await startTimeOf(process.pid)}`
}

/** Is this the label of a process that is gone (`NAME` or `NAME-…`)? Names that are no labels are nobody's business. */
export async function isLeftOver(name: string): Promise<boolean> {
  const [, pid, startTime] = new RegExp(`^${PREFIX}-([0-9]+)-([0-9]+)(-|$)`).exec(name) ?? []
  return pid !== undefined && startTime !== undefined && !(await isAlive({ pid: Number(pid), startTime }))
}
