import { expect, test } from 'vitest'
import { isSelfMount, mountOf, parseMounts } from './propagation.ts'

const MOUNTS = parseMounts(`27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 254:16 / /srv rw shared:5 master:1 - xfs /dev/vdb rw
31 30 254:16 /bothy/host /srv/bothy/host rw shared:9 - xfs /dev/vdb rw
32 27 254:16 /other /srv/other rw - xfs /dev/vdb rw
33 27 0:40 / /with\\040blank rw - tmpfs tmpfs rw
`)

test.each([
  ['/etc', 27],
  ['/', 27],
  ['/srv', 30],
  ['/srvx', 27],
  ['/srv/bothy', 30],
  ['/srv/bothy/host', 31],
  ['/srv/bothy/host/pool', 31],
  ['/with blank/x', 33],
])('%s is shown by mount %i', (path, id) => {
  expect(mountOf(MOUNTS, path)?.id).toBe(id)
})

test('of two mounts at one place the later one counts', () => {
  const more = parseMounts(
    '41 27 254:0 /x /x rw - ext4 /dev/vda rw\n42 41 254:0 /x /x rw - ext4 /dev/vda rw\n',
  )
  expect(mountOf([...MOUNTS, ...more], '/x/y')?.id).toBe(42)
})

test('shared mounts and folders shown at their own place are known', () => {
  const shared = MOUNTS.filter(({ isShared }) => isShared).map(({ id }) => id)
  expect(shared).toEqual([30, 31])
  expect(MOUNTS.filter(each => isSelfMount(MOUNTS, each)).map(({ id }) => id)).toEqual([31])
})
