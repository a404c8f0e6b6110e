import { expect, test } from 'vitest'
import { describeKubectl, setStatus } from '../support/kubectl.ts'
import { environment } from '../support/server.ts'

const ready = (status: 'True' | 'False') => ({
  phase: status === 'True' ? 'Running' : 'Starting',
  observedGeneration: 1,
  conditions: [
    { type: 'Ready', status, reason: 'Test', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' },
  ],
})

describeKubectl('wait', (k, minor) => {
  const create = (...names: string[]) =>
    k()
      .given(...names.map(name => environment(name)))
      .ok('create -f -')

  test('for a condition that comes, and one that is there', async () => {
    await create('a')
    await setStatus(k(), 'a', ready('False'))
    const waiting = k().start('wait env/a --for=condition=Ready --timeout=20s')
    await setStatus(k(), 'a', ready('True'))
    expect(await waiting.inTime()).toMatchObject({
      code: 0,
      stdout: 'environment.bothy.dev/a condition met\n',
    })
    expect(await k().ok('wait env a --for=condition=ready --timeout=20s')).toBe(
      'environment.bothy.dev/a condition met\n',
    )
  })

  test('for a condition to be lost', async () => {
    const waiting = k().start('wait env/a --for=condition=Ready=false --timeout=20s')
    await setStatus(k(), 'a', ready('False'))
    expect((await waiting.inTime()).stdout).toBe('environment.bothy.dev/a condition met\n')
  })

  test('in vain', async () => {
    expect(await k().fails('wait env/a --for=condition=Ready --timeout=1s')).toContain(
      'timed out waiting for the condition on environments/a',
    )
    expect(await k().fails('wait env/nobody --for=condition=Ready --timeout=1s')).toContain('NotFound')
  })

  test('for several, by label', async () => {
    await create('b', 'c')
    await k().ok('label env b c group=yes')
    const waiting = k().start('wait env -l group=yes --for=condition=Ready --timeout=20s')
    await setStatus(k(), 'b', ready('True'))
    await setStatus(k(), 'c', ready('True'))
    expect((await waiting.inTime()).stdout).toBe(
      'environment.bothy.dev/b condition met\nenvironment.bothy.dev/c condition met\n',
    )
  })

  test('for deletion', async () => {
    await k()
      .given(environment('held', { metadata: { finalizers: ['example.com/hold'] } }))
      .ok('create -f -')
    await k().ok('delete env held --wait=false')
    const waiting = k().start('wait env/held --for=delete --timeout=20s')
    await k().ok('patch env held --type=merge -p', '{"metadata":{"finalizers":null}}')
    const { code, stdout } = await waiting.inTime()
    // It may look when there is nothing left to wait for, and before 1.24 takes that for an error.
    if (stdout !== '') expect([code, stdout]).toEqual([0, 'environment.bothy.dev/held condition met\n'])
  })

  if (minor >= 23) {
    test('for a value', async () => {
      await create('d')
      const waiting = k().start('wait env/d --for=jsonpath={.status.phase}=Stopped --timeout=20s')
      await setStatus(k(), 'd', { phase: 'Stopped' })
      expect((await waiting.inTime()).stdout).toBe('environment.bothy.dev/d condition met\n')
      expect(await k().fails('wait env/d --for=jsonpath={.status.phase}=Running --timeout=1s')).toContain(
        'timed out',
      )
    })
  }

  if (minor >= 31) {
    test('for creation', async () => {
      const waiting = k().start('wait env/later --for=create --timeout=20s')
      await create('later')
      expect((await waiting.inTime()).stdout).toBe('environment.bothy.dev/later condition met\n')
    })
  }
})
