// A program of its own, so that it runs with the tools' low priority: node zstd-to-tar.ts FROM TO MAX_BYTES. Writes what
// FROM expands to, and says its size and SHA-256 as JSON; leaves with 3 as soon as that is more than allowed.
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createZstdDecompress } from 'node:zlib'

const [from = '', to = '', max = ''] = process.argv.slice(2)
const hash = createHash('sha256')
let size = 0
const meter = new Transform({
  transform(chunk: Buffer, _encoding, done) {
    size += chunk.length
    hash.update(chunk)
    // Nothing is to be tidied up here: who called us removes the folder.
    if (size > Number(max)) process.exit(3)
    done(null, chunk)
  },
})
try {
  await pipeline(
    createReadStream(from),
    createZstdDecompress(),
    meter,
    createWriteStream(to, { flags: 'wx' }),
  )
} catch (error) {
  // In one line, which whoever called us passes on.
  process.stderr.write(`zstd: ${String(error)}\n`)
  process.exit(1)
}
process.stdout.write(JSON.stringify({ size, digest: `sha256:${hash.digest('hex')}` }))
