import { chmod, readdir, rm, symlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  faultOf,
  hello,
  type ImageBench,
  openImageBench,
  whyNoImages,
} from '../../../test/support/image-bench.ts'
import { writeLayout } from '../../../test/support/oci-layout.ts'
import { titled } from '../../../test/support/requirements.ts'
import { parseImageReference } from '../../api/image-reference.ts'
import { mustRun } from '../../lib/run-process.ts'

const why = whyNoImages()

describe.skipIf(why)(titled('image store, from archives', why), () => {
  let bench: ImageBench
  beforeAll(async () => {
    bench = await openImageBench()
  })
  afterAll(() => bench?.close())

  const archive = (name: string) => join(bench.archives, name)

  test('a directory and a file give the image that the registry gives', async () => {
    const digest = await writeLayout(archive('dir'), hello)
    await mustRun(['tar', '-C', archive('dir'), '-cf', archive('file.tar'), '.'])
    const { ensure, store } = bench.open()
    const image = await ensure('oci:dir')
    expect(image).toMatchObject({ reference: 'oci:dir', digest, user: '1000:1000' })
    expect(await ensure('oci-archive:file.tar')).toEqual({ ...image, reference: 'oci-archive:file.tar' })
    await rm(archive('file.tar'))
    expect(await store.find(parseImageReference('oci-archive:file.tar'))).toMatchObject({ digest })
  })

  test('a file alone, with the layers of a changed one', async () => {
    const { path } = await bench.layout(hello)
    await mustRun(['tar', '-C', path, '-cf', archive('one.tar'), 'oci-layout', 'index.json', 'blobs'])
    const { ensure } = bench.open()
    const first = await ensure('oci-archive:one.tar')
    expect(await readdir(first.layers[0]!)).toEqual(['hello'])
    const next = await bench.layout({ layers: [[{ name: 'next' }]] })
    await mustRun(['tar', '-C', next.path, '-cf', archive('one.tar'), '.'])
    await utimes(archive('one.tar'), 1, 1)
    expect(await readdir((await ensure('oci-archive:one.tar')).layers[0]!)).toEqual(['next'])
  })

  test.each([
    ['is not there', 'oci-archive:none.tar', 'not_found', 'image-archive-missing'],
    ['is a link out of the folder', 'oci-archive:link.tar', 'forbidden', 'image-archive-outside'],
    ['is a directory that links out', 'oci:link-dir', 'forbidden', 'image-archive-outside'],
    ['is the folder itself', 'oci:self', 'not_found', 'image-archive-missing'],
    ['is something else', 'oci-archive:text.tar', 'invalid', 'image-archive-malformed'],
  ])('one that %s is refused', async (_, reference, reason, code) => {
    const { path } = await bench.layout(hello)
    await mustRun(['tar', '-C', path, '-cf', join(bench.folder, 'outside.tar'), '.'])
    for (const [name, target] of Object.entries({
      'link.tar': join(bench.folder, 'outside.tar'),
      'link-dir': path,
      self: '.',
    })) {
      await rm(archive(name), { force: true })
      await symlink(target, archive(name))
    }
    await mustRun(['dd', 'if=/dev/zero', `of=${archive('text.tar')}`, 'bs=1k', 'count=4'])
    await chmod(archive('text.tar'), 0o644)
    expect(await faultOf(bench.open().ensure(reference))).toEqual({ reason, code, hinted: true })
  })
})
