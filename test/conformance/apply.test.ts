// Declared in files: apply from the client's side, with what was applied last kept in an annotation; diff, replace, edit.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describeKubectl, setStatus } from '../support/kubectl.ts'
import { environment } from '../support/server.ts'

const otter = (env: object, metadata: object = {}) =>
  environment('otter', { metadata, spec: { class: 'small', env } })
const NAME = 'environment.bothy.dev/otter'

describeKubectl('apply', (k, minor) => {
  const apply = (manifest: object, flags = '') =>
    k().given(manifest).ok(`apply ${flags} -f -`.replace('  ', ' '))

  test('creates, changes nothing, changes, and removes what the manifest no longer has', async () => {
    expect(await apply(otter({ A: '1', B: '2' }, { labels: { team: 'a' } }))).toBe(`${NAME} created\n`)
    const { metadata } = await k().json('get env otter')
    expect(await apply(otter({ A: '1', B: '2' }, { labels: { team: 'a' } }))).toBe(`${NAME} unchanged\n`)
    expect((await k().json('get env otter')).metadata.resourceVersion).toBe(metadata.resourceVersion)
    expect(await apply(otter({ A: '1', C: '3' }))).toBe(`${NAME} configured\n`)
    const after = await k().json('get env otter')
    expect(after.spec.env).toEqual({ A: '1', C: '3' })
    expect(after.metadata.labels).toBeUndefined()
    expect(after.metadata.generation).toBe(2)
  })

  test('leaves alone what others have set', async () => {
    await k().ok('patch env otter --type=merge -p', '{"spec":{"desired":"Stopped","env":{"THEIRS":"x"}}}')
    expect(await apply(otter({ A: '2' }))).toBe(`${NAME} configured\n`)
    expect((await k().json('get env otter')).spec).toMatchObject({
      desired: 'Stopped',
      env: { A: '2', THEIRS: 'x' },
    })
  })

  test('several at once, some of which are there', async () => {
    const said = await k()
      .given(otter({ A: '2' }), environment('heron'))
      .ok('apply -f -')
    expect(said).toBe(`${NAME} unchanged\nenvironment.bothy.dev/heron created\n`)
    await k().ok('delete env heron')
  })

  test('--dry-run stores nothing', async () => {
    expect(await apply(otter({ A: '9' }), '--dry-run=server')).toBe(`${NAME} configured (server dry run)\n`)
    expect(await apply(otter({ A: '2' }), '--dry-run=server')).toBe(`${NAME} unchanged (server dry run)\n`)
    expect(await apply(environment('nobody'), '--dry-run=server')).toBe(
      'environment.bothy.dev/nobody created (server dry run)\n',
    )
    expect(await apply(environment('nobody'), '--dry-run=client')).toBe(
      'environment.bothy.dev/nobody created (dry run)\n',
    )
    expect(await k().ok('get env nobody --ignore-not-found')).toBe('')
    expect((await k().json('get env otter')).spec.env).toMatchObject({ A: '2' })
  })

  test('what was applied last can be seen, and set', async () => {
    expect(JSON.parse(await k().ok('apply view-last-applied env otter -o json'))).toMatchObject({
      spec: { env: { A: '2' } },
    })
    const kept = k().given(otter({ A: '2', D: '4' }))
    expect(await kept.ok('apply set-last-applied -f -')).toBe(`${NAME} configured\n`)
    expect(await apply(otter({ A: '2' }))).toBe(`${NAME} configured\n`)
  })

  test('to what was created without it: works, with a warning', async () => {
    await k().given(environment('wild')).ok('create -f -')
    const { code, stdout, stderr } = await k()
      .given(environment('wild', { spec: { env: { A: '1' } } }))
      .run('apply -f -')
    expect([code, stdout]).toEqual([0, 'environment.bothy.dev/wild configured\n'])
    expect(stderr).toMatch(/^Warning: resource .*wild.* missing the .*last-applied-configuration annotation/)
    await k().ok('delete env wild')
  })

  test('--prune removes what is selected and no longer in the manifests', async () => {
    const list = `--prune-${minor >= 26 ? 'allowlist' : 'whitelist'}=bothy.dev/v1alpha1/Environment`
    const labelled = (name: string) => environment(name, { metadata: { labels: { app: 'pruned' } } })
    await k().given(labelled('stays'), labelled('goes')).ok('apply -f -')
    const pruned = await k().given(labelled('stays')).ok(`apply --prune -l app=pruned ${list} -f -`)
    expect(pruned).toBe('environment.bothy.dev/stays unchanged\nenvironment.bothy.dev/goes pruned\n')
    expect(await k().ok('get env -l app=pruned -o name')).toBe('environment.bothy.dev/stays\n')
    expect(await k().ok('get env otter -o name')).toBe(`${NAME}\n`)
    await k().ok('delete env stays')
  })

  test('what never changes is not changed', async () => {
    const large = { spec: { class: 'large' } }
    const refused = await k().given(environment('otter', large)).fails('apply -f -')
    expect(refused).toMatch(
      /The Environment "otter" is invalid: spec.class: Invalid value: "large": field is immutable/,
    )
  })

  test('a misspelt field is found here too', async () => {
    const refused = await k()
      .given(environment('otter', { spec: { environ: {} } }))
      .fails('apply -f -')
    expect(refused).toContain(minor >= 25 ? 'unknown field "spec.environ"' : 'unknown field "environ"')
  })

  test('diff shows what apply would do, exits with 1 when that is something, and does nothing', async () => {
    const before = await k().json('get env otter')
    const manifest = otter({ A: '3' })
    const { code, stdout, stderr } = await k().given(manifest).run('diff -f -')
    expect([code, stderr]).toEqual([1, expect.not.stringContaining('rror')])
    expect(stdout).toMatch(/^-- {4}A: "2"|^- {4}A: "2"$/m)
    expect(stdout).toMatch(/^\+ {4}A: "3"$/m)
    expect(stdout).toMatch(/^-- {2}generation: \d+|^- {2}generation: \d+$/m)
    expect(await k().json('get env otter')).toEqual(before)
    const added = await k().given(environment('nobody')).run('diff -f -')
    expect(added.code).toBe(1)
    expect(added.stdout).toMatch(/^\+ {2}name: nobody$/m)
    expect(await k().ok('get env nobody --ignore-not-found')).toBe('')
    await apply(manifest)
    expect(await k().given(manifest).ok('diff -f -')).toBe('')
    expect(
      (
        await k()
          .given(environment('otter', { spec: { class: 'No' } }))
          .run('diff -f -')
      ).code,
    ).toBeGreaterThan(1)
  })
})

describeKubectl('replace and edit', (k, minor) => {
  test('replace puts the manifest in the place of the object', async () => {
    await k()
      .given(otter({ A: '1', B: '2' }, { labels: { team: 'a' } }))
      .ok('create -f -')
    const { metadata } = await k().json('get env otter')
    expect(
      await k()
        .given(otter({ C: '3' }))
        .ok('replace -f -'),
    ).toBe(`${NAME} replaced\n`)
    const after = await k().json('get env otter')
    expect(after.spec.env).toEqual({ C: '3' })
    expect(after.metadata).toMatchObject({ uid: metadata.uid, generation: 2 })
    expect(after.metadata.labels).toBeUndefined()
    // The owner is the server's to say.
    expect(after.metadata.annotations).toMatchObject({ 'bothy.dev/owner': 'ada' })
  })

  test('replace with an old resourceVersion is a conflict; with the current one it is not', async () => {
    const seen = await k().json('get env otter')
    await k().ok('label env otter seen=yes')
    expect(await k().given(seen).fails('replace -f -')).toBe(
      'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on environments.bothy.dev "otter": the object has been modified; please apply your changes to the latest version and try again\n',
    )
    expect(
      await k()
        .given(await k().json('get env otter'))
        .ok('replace -f -'),
    ).toBe(`${NAME} replaced\n`)
    expect(await k().given(environment('nobody')).fails('replace -f -')).toContain('NotFound')
  })

  test('replace: dry run, and what never changes', async () => {
    expect(
      await k()
        .given(otter({ D: '4' }))
        .ok('replace --dry-run=server -f -'),
    ).toBe(`${NAME} replaced (server dry run)\n`)
    expect((await k().json('get env otter')).spec.env).toEqual({ C: '3' })
    const big = environment('otter', { spec: { class: 'large' } })
    expect(await k().given(big).fails('replace -f -')).toMatch(
      /spec.class: Invalid value: "large": field is immutable/,
    )
  })

  test('replace --force deletes and makes anew', async () => {
    const { uid } = (await k().json('get env otter')).metadata
    const large = environment('otter', { spec: { class: 'large', env: { E: '5' } } })
    const { code, stdout } = await k().given(large).run('replace --force -f -')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /environment.bothy.dev "otter" (force )?deleted.*\nenvironment.bothy.dev\/otter replaced\n$/,
    )
    const after = await k().json('get env otter')
    expect(after.spec).toMatchObject({ class: 'large', env: { E: '5' } })
    expect(after.metadata.uid).not.toBe(uid)
  })

  const editor = async (name: string, ...script: string[]) => {
    const path = join(k().server.dir, name)
    await writeFile(path, `#!/bin/sh\n${script.join('\n')}\n`, { mode: 0o755 })
    return k().with({ EDITOR: path })
  }

  test('edit opens what is stored and sends what changed', async () => {
    const edit = await editor('change', 'sed -i \'s/E: "5"/E: "6"/\' "$1"')
    expect(await edit.ok('edit env otter')).toBe(`${NAME} edited\n`)
    expect((await k().json('get env otter')).spec.env).toEqual({ E: '6' })
    const json = await editor('change-json', 'sed -i \'s/"E": "6"/"E": "7"/\' "$1"')
    expect(JSON.parse(await json.ok('edit env otter -o json'))).toMatchObject({ spec: { env: { E: '7' } } })
    expect((await k().json('get env otter')).spec.env).toEqual({ E: '7' })
  })

  test('edit without a change does nothing', async () => {
    const { metadata } = await k().json('get env otter')
    const { stdout, stderr } = await (await editor('nothing', ':')).run('edit env otter')
    expect(stdout + stderr).toContain('Edit cancelled, no changes made.')
    expect((await k().json('get env otter')).metadata.resourceVersion).toBe(metadata.resourceVersion)
  })

  test('edit shows what is wrong, and lets one try again', async () => {
    // The first time it is wrong; the second time the reason stands on top of the file.
    const edit = await editor(
      'again',
      'if grep -q "spec.desired: Unsupported value" "$1"; then sed -i "s/desired: Flying/desired: Stopped/" "$1"',
      'else sed -i "s/desired: Running/desired: Flying/" "$1"; fi',
    )
    const { code, stdout, stderr } = await edit.run('edit env otter')
    expect([code, stdout], stderr).toEqual([0, `${NAME} edited\n`])
    expect((await k().json('get env otter')).spec.desired).toBe('Stopped')
  })

  test('edit while somebody else changes the same object', async () => {
    const edit = await editor(
      'slow',
      'sed -i s/Stopped/Running/ "$1"',
      `touch "${join(k().server.dir, 'opened')}"`,
    )
    await setStatus(k(), 'otter', { phase: 'Stopped' })
    await edit.ok('edit env otter')
    expect(await k().json('get env otter')).toMatchObject({ spec: { desired: 'Running' } })
  })

  if (minor >= 24) {
    test('edit and replace --subresource=status', async () => {
      const admin = (await editor('status', 'sed -i "s/epoch: 0/epoch: 3/" "$1"')).as('admin')
      expect(await admin.ok('edit env otter --subresource=status')).toBe(`${NAME} edited\n`)
      const seen = await k().json('get env otter')
      expect(seen.status.epoch).toBe(3)
      const next = { ...seen, spec: { class: 'ignored' }, status: { ...seen.status, epoch: 4 } }
      expect(await k().as('admin').given(next).ok('replace --subresource=status -f -')).toBe(
        `${NAME} replaced\n`,
      )
      expect(await k().json('get env otter')).toMatchObject({ spec: seen.spec, status: { epoch: 4 } })
    })
  }
})
