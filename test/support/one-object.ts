// A server with one Environment, for tests of what is wrong with requests: to all, and to that one.
import {
  type Answer,
  type CallOptions,
  environment,
  pathOf,
  type ServerFixture,
  startServer,
} from './server.ts'

export const ALL = pathOf('environments')
export const IT = pathOf('environments', 'it')

export interface OneObject {
  readonly server: ServerFixture
  /** As ada, to whom it belongs. */
  call(method: string, path: string, more?: CallOptions): Promise<Answer>
}

/** Its Environment is `it`, with the label a=b. */
export async function startWithOneObject(): Promise<OneObject> {
  const server = await startServer()
  const call: OneObject['call'] = (method, path, more) =>
    server.call(method, path, { token: server.tokens.ada, ...more })
  await call('POST', ALL, { body: environment('it', { metadata: { labels: { a: 'b' } } }) })
  return { server, call }
}
