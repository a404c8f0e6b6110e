import { readdir } from 'node:fs/promises'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { conditionOf, say, useLifeCycle } from '../../test/support/life-cycle.ts'
import { toFault } from '../lib/fault.ts'

const life = useLifeCycle()
const never = new AbortController().signal

test('content is made once, and its progress is in the log', async () => {
  const { entrances } = await life.launch()
  const url = 'https://git.example.com/team/app.git'
  const created = await life.create({ content: { git: { url, directory: 'app' } } })
  const up = await life.running(created, 1)
  expect(up?.status.git).toMatchObject({ directory: 'repository', commit: 'c0ffee'.padEnd(40, '0') })
  expect(up?.status.stages.map(({ name }) => name)).toContain('content')
  await life.desire(created, 'Stopped')
  await life.phase(created, 'Stopped')
  await life.desire(created, 'Running')
  const again = await life.running(created, 2)
  expect(again?.status.stages.map(({ name }) => name)).not.toContain('content')
  expect(again?.status.git).toEqual(up?.status.git)
  expect(await say(entrances, created, 'cat /workspaces/app/source /workspaces/app/made')).toBe(
    `${url}\nmade\n`,
  )
  const log = await text(await entrances.logs(created.metadata.uid, { follow: false }, never))
  expect(log).toMatch(
    /^\S+Z image: fetching registry[^]*content: begun\n[^]*content: done\n[^]*start: running, epoch 1\n/m,
  )
  expect(await text(await entrances.logs(created.metadata.uid, { follow: false, tail: 1 }, never))).toMatch(
    /epoch 2\n$/,
  )
})

test('content that is sent is waited for, and only a whole one counts', async () => {
  const { entrances, driver } = await life.launch()
  const created = await life.create({ content: { upload: { directory: 'app' } } })
  const waiting = await life.until(
    created,
    found => conditionOf(found, 'ContentReady')?.reason === 'AwaitingUpload',
  )
  expect(waiting?.status.phase).toBe('Creating')
  const { uid } = created.metadata
  const broken = new PassThrough()
  const receiving = entrances.receiveContent(uid, broken, never)
  broken.write('half of')
  broken.destroy(new Error('connection lost'))
  await expect(receiving).rejects.toThrow('connection lost')
  await entrances.receiveContent(uid, Readable.from([Buffer.from('the '), Buffer.from('bundle\n')]), never)
  await life.running(created, 1)
  expect(await say(entrances, created, 'cat /workspaces/app/source')).toBe('the bundle\n')
  const late = await entrances.receiveContent(uid, Readable.from([]), never).catch(toFault)
  expect(late).toMatchObject({ code: 'content-there-already' })
  // The bundle is gone, and so is the half one.
  expect((await readdir(driver.folder(uid))).filter(name => name.includes('bundle'))).toEqual([])
})
