import { expect, test } from 'vitest'
import { startServer } from '../../test/support/server.ts'
import { storeContract } from '../core/store.contract.ts'
import { createClient } from './create-client.ts'

storeContract('the API client over HTTPS', async () => {
  const server = await startServer()
  const client = createClient({
    server: server.url(),
    ca: server.pki.ca,
    credential: () => server.tokens.admin,
  })
  return {
    store: client.store,
    async close() {
      await client.close()
      await server.close()
    },
  }
})

test('a list longer than a page comes whole, of one moment', async () => {
  const server = await startServer()
  const client = createClient({
    server: server.url(),
    ca: server.pki.ca,
    credential: () => server.tokens.admin,
  })
  try {
    const names = Array.from({ length: 1_203 }, (_, i) => `many-${i}`).toSorted()
    for (let i = 0; i < names.length; i += 100) {
      await Promise.all(
        names.slice(i, i + 100).map(name =>
          server.database.store.create({
            kind: 'Runner',
            metadata: { name, namespace: 'default' },
            spec: { cordoned: false },
          }),
        ),
      )
    }
    const { items, at } = await client.store.list('Runner', { namespace: 'default' })
    expect(items.map(({ metadata }) => metadata.name).toSorted()).toEqual(names)
    expect(at).toBe(
      items
        .map(({ metadata }) => metadata.resourceVersion)
        .toSorted((a, b) => Number(a) - Number(b))
        .at(-1),
    )
  } finally {
    await client.close()
    await server.close()
  }
})

test('a fault of the server arrives as it was raised', async () => {
  const server = await startServer()
  const open = (token: string) =>
    createClient({ server: server.url(), ca: server.pki.ca, credential: () => token })
  const [eve, nobody] = [open(server.tokens.eve), open('bothy_nobody')]
  try {
    const draft = {
      kind: 'Environment',
      metadata: { name: 'mine', namespace: 'default' },
      spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {} },
    } as const
    await expect(eve.store.create(draft)).rejects.toMatchObject({ name: 'Fault', reason: 'forbidden' })
    await expect(nobody.store.list('Runner')).rejects.toMatchObject({
      name: 'Fault',
      reason: 'unauthenticated',
    })
    const key = { kind: 'Environment', namespace: 'default', name: 'none' } as const
    await expect(eve.entrance(key, 'exec')).rejects.toMatchObject({
      reason: expect.stringMatching(/not_found|forbidden/),
    })
  } finally {
    await Promise.all([eve.close(), nobody.close()])
    await server.close()
  }
})

test('a server that restarts ends watches as unavailable, and is found again', async () => {
  const server = await startServer()
  const client = createClient({
    server: server.url(),
    ca: server.pki.ca,
    credential: () => server.tokens.admin,
  })
  try {
    const { at } = await client.store.list('Runner')
    const changes = client.store.watch('Runner', { from: at }, new AbortController().signal)
    const next = changes[Symbol.asyncIterator]().next()
    const made = await client.store.create({
      kind: 'Runner',
      metadata: { name: 'first', namespace: 'default' },
      spec: { cordoned: false },
    })
    expect((await next).value).toMatchObject({ type: 'put', at: made.metadata.resourceVersion, object: made })
    const ended = expect(changes[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      reason: 'unavailable',
    })
    await server.restart()
    await ended
    expect((await client.store.list('Runner')).items).toEqual([made])
  } finally {
    await client.close()
    await server.close()
  }
})
