import { expect, test } from 'vitest'
import { readZipEntry } from './zip.mjs'

// Made by another program: one file stored, one packed in a folder, a comment at the end.
const ARCHIVE = Buffer.from(
  'UEsDBBQAAAAAAAAAIVCzJE6WCAAAAAgAAAAKAAAAc3RvcmVkLnR4dGFzIGl0IGlzUEsDBBQAAAAIAAAAIVA/VyLZEgAAALAEAAARAAAAZm9sZGVy' +
    'L3BhY2tlZC50eHRLTE/MzFNIHCVHyVFylBz0JABQSwECFAMUAAAAAAAAACFQsyROlggAAAAIAAAACgAAAAAAAAAAAAAAgAEAAAAAc3RvcmVkLnR4' +
    'dFBLAQIUAxQAAAAIAAAAIVA/VyLZEgAAALAEAAARAAAAAAAAAAAAAACAATAAAABmb2xkZXIvcGFja2VkLnR4dFBLBQYAAAAAAgACAHcAAABxAAAA' +
    'CQBhIGNvbW1lbnQ=',
  'base64',
)

test('files come out as they went in', () => {
  expect(readZipEntry(ARCHIVE, 'stored.txt').toString()).toBe('as it is')
  expect(readZipEntry(ARCHIVE, 'folder/packed.txt').toString()).toBe('again '.repeat(200))
})

test('what is not there, damaged, or no archive is an error', () => {
  expect(() => readZipEntry(ARCHIVE, 'packed.txt')).toThrow('no packed.txt in the archive')
  const damaged = Buffer.from(ARCHIVE)
  damaged[ARCHIVE.indexOf('as it is')]! ^= 1
  expect(() => readZipEntry(damaged, 'stored.txt')).toThrow('stored.txt: its checksum is wrong')
  expect(() => readZipEntry(ARCHIVE.subarray(0, 100), 'stored.txt')).toThrow('not a zip archive')
})
