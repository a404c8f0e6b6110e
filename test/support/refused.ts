// What every refusal of the API has in common.
import { expect } from 'vitest'
import type { Answer, Json } from './server.ts'

/** The field of each cause, after looking at what every Status has. */
export const refused = (answer: Answer, status: number, reason: string): string[] => {
  const { body } = answer
  expect({ ...body, details: undefined, message: undefined }).toEqual({
    ...{ kind: 'Status', apiVersion: 'v1', status: 'Failure', metadata: {}, code: status, reason },
    ...{ details: undefined, message: undefined },
  })
  expect(answer.status).toBe(status)
  expect(body.message).not.toBe('')
  const causes = (body.details.causes ?? []) as Json[]
  for (const cause of causes)
    expect(cause).toMatchObject({ message: expect.any(String), field: expect.any(String) })
  return causes.map(cause => cause.field)
}
