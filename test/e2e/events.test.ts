// The life of environments, as kubectl tells it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fault } from '../../src/lib/fault.ts'
import { describeKubectl, parseTable } from '../support/kubectl.ts'
import { type RunnerFixture, startRunner } from '../support/runner.ts'
import { environment, pathOf } from '../support/server.ts'

describeKubectl('what happened to an environment', (k, minor) => {
  let runner: RunnerFixture
  beforeAll(async () => {
    const { server } = k()
    const { admin } = server.tokens
    const here = { apiVersion: 'bothy.dev/v1alpha1', kind: 'Runner', metadata: { name: 'here' }, spec: {} }
    await k().as('admin').given(here).ok('create -f -')
    const { body } = await server.call('POST', pathOf('runners', 'here/enrollment-token'), { token: admin })
    runner = await startRunner(server, body.token)
    await k().ok('wait runner/here --for=condition=Ready --timeout=15s')
    await k().ok('wait runner/here --for=condition=DriverReady --timeout=15s')
  })
  afterAll(() => runner?.close())

  /** Events are told a moment after they have happened: watched until all have come. */
  const told = async (name: string, ...reasons: string[]) => {
    const watching = k().start(`get events -w --field-selector involvedObject.name=${name}`)
    for (const reason of reasons) await watching.until(new RegExp(`\\s${reason}\\s`))
    await watching.end()
  }
  const eventsOf = (described: string) =>
    [
      ...described.slice(described.indexOf('\nEvents:')).matchAll(/^ {2}(Normal|Warning) +(\S+) +(.+)$/gm),
    ].map(([, type, reason, rest]) => `${type} ${reason} ${rest}`)

  test('a start is told in few words, and in order', async () => {
    await k().given(environment('otter')).ok('create -f -')
    await told('otter', 'Scheduled', 'Started')
    const events = eventsOf(await k().ok('describe env otter'))
    expect(events).toEqual([
      expect.stringMatching(/^Normal Scheduled \d+s +scheduler +bound to runner 'here'$/),
      expect.stringMatching(/^Normal Pulling \d+s +runner +fetching image oci:tiny$/),
      expect.stringMatching(/^Normal Pulled \d+s +runner +image oci:tiny is here, after \d+ ms$/),
      expect.stringMatching(/^Normal Started \d+s +runner +it runs, epoch 1, after \d+ ms: .*start \d+ ms$/),
    ])
  })

  test('so is what failed, with its reason and what can be done', async () => {
    await k()
      .given(environment('heron', { spec: { image: 'oci:missing' } }))
      .ok('create -f -')
    await k()
      .given(environment('stork', { spec: { class: 'huge' } }))
      .ok('create -f -')
    await told('heron', 'FailedImage')
    expect(eventsOf(await k().ok('describe env heron'))).toContainEqual(
      expect.stringMatching(
        /^Warning FailedImage \d+s +runner +ImageNotFound: fetch image oci:missing: there is none \(check the name\); it is not tried again$/,
      ),
    )
    await told('stork', 'FailedScheduling')
    expect(eventsOf(await k().ok('describe env stork'))).toEqual([
      expect.stringMatching(
        /^Warning FailedScheduling \d+s +scheduler +ClassNotFound: there is no EnvironmentClass 'huge' \(use one of: small\)$/,
      ),
    ])
  })

  test('the same again is one event that counts', async () => {
    const busy = () =>
      new Fault('exhausted', 'no-space-left', 'make a disk: no space left', { hint: 'delete something' })
    runner.misbehave.failEnsure = [busy(), busy()]
    await k().given(environment('crane')).ok('create -f -')
    await told('crane', 'Started')
    expect(eventsOf(await k().ok('describe env crane'))).toContainEqual(
      expect.stringMatching(
        /^Warning FailedStart \d+s \(x2 over \d+s\) +runner +NoSpaceLeft: make a disk: no space left \(delete something\); it is tried again$/,
      ),
    )
  })

  test('what was told of a deleted environment stays for a while', async () => {
    await k().ok('delete env otter')
    await told('otter', 'Deleted')
    const rows = parseTable(await k().ok('get events --field-selector involvedObject.name=otter'))
    expect(rows.map(row => row['REASON'])).toContain('Deleted')
    for (const row of rows) expect(row['LAST SEEN']).toMatch(/^\d+(s|m)/)
  })

  if (minor >= 26)
    test('events of one, as they come, with nothing unknown', async () => {
      const watching = k().start('events --for environment/stork -w')
      await watching.until(/FailedScheduling/)
      const small = await k().json('get environmentclass small')
      const huge = { ...small, metadata: { name: 'huge' }, status: undefined }
      await k().as('admin').given(huge).ok('create -f -')
      await watching.until(/Started/)
      const { stdout } = await watching.end()
      expect(stdout).not.toContain('unknown')
    })
})
