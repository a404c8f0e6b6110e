// One file out of a zip archive held in memory. Only what archives of known origin need: no encryption, no zip64.
import { crc32, inflateRawSync } from 'node:zlib'

const END_OF_DIRECTORY = 0x06054b50
const DIRECTORY_ENTRY = 0x02014b50
const STORED = 0
const DEFLATED = 8

/** The content of the entry called `name`. Throws when there is none, or when it is damaged. */
export function readZipEntry(archive, name) {
  for (const entry of entries(archive)) {
    if (entry.name !== name) continue
    // The local header repeats the name, and has an extra field of its own length.
    const start =
      entry.offset + 30 + archive.readUInt16LE(entry.offset + 26) + archive.readUInt16LE(entry.offset + 28)
    const packed = archive.subarray(start, start + entry.packedSize)
    const content = unpack(packed, entry)
    if (crc32(content) !== entry.crc) throw new Error(`${name}: its checksum is wrong`)
    return content
  }
  throw new Error(`no ${name} in the archive`)
}

function unpack(packed, { name, method, size }) {
  if (method === STORED) return packed
  if (method === DEFLATED) return inflateRawSync(packed, { maxOutputLength: size })
  throw new Error(`${name}: packed by method ${method}, which is not read here`)
}

function* entries(archive) {
  let at = archive.readUInt32LE(findEnd(archive) + 16)
  while (archive.readUInt32LE(at) === DIRECTORY_ENTRY) {
    const nameLength = archive.readUInt16LE(at + 28)
    yield {
      name: archive.toString('utf8', at + 46, at + 46 + nameLength),
      method: archive.readUInt16LE(at + 10),
      crc: archive.readUInt32LE(at + 16),
      packedSize: archive.readUInt32LE(at + 20),
      size: archive.readUInt32LE(at + 24),
      offset: archive.readUInt32LE(at + 42),
    }
    at += 46 + nameLength + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32)
  }
}

/** The last record; a comment may follow it. */
function findEnd(archive) {
  for (let at = archive.length - 22; at >= 0; at--) {
    if (archive.readUInt32LE(at) === END_OF_DIRECTORY) return at
  }
  throw new Error('not a zip archive')
}
