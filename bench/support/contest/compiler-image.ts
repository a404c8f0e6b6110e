// An image with a C compiler, made and a project to compile: what hogs do here is what developers' machines do.
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readRecipe } from '../../../src/adapters/oci-images/bootstrap.ts'
import { diskUsage } from '../../../src/adapters/oci-images/growth.ts'
import { ImageFolder } from '../../../src/adapters/oci-images/image-folder.ts'
import { DPKG_OPTIONS, sourceLine } from '../../../src/adapters/oci-images/recipe.ts'
import type { UnpackedImage } from '../../../src/core/driver.ts'
import { mustRun } from '../../../src/lib/run-process.ts'
import { hostSuite, testCacheDir } from '../../../test/support/image.ts'

const PACKAGES = ['bash', 'gcc', 'libc6-dev', 'make', 'perl-base', 'procps', 'util-linux']
const FILES = 24
const FUNCTIONS = 16

/** Where the project lies. A compiled file says `x`, so that what was done can be counted. */
export const PROJECT = '/opt/project'
const MAKEFILE = `OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))
all: $(OBJECTS)
%.o: %.c
\t@gcc -O1 -c -o $@ $< && printf x
clean:
\t@rm -f *.o
`

/** The n-th source: about a tenth of a second of a compiler's time. */
function source(n: number): string {
  const one = (i: number) =>
    `int f${n}_${i}(const int *a, int n) { int s = ${i}; for (int k = 0; k < n; k++) { s += a[k] * ${i + 3}; s ^= s >> ${(i % 7) + 1}; if (s % ${i + 2} == 0) s += printf("%d", s); else s -= (int)strlen("${'x'.repeat(i % 40)}"); } switch (s & 7) { case 0: return s * 3; case 1: return s / 5; case 2: return s << 2; default: return s; } }`
  return ['#include <stdio.h>', '#include <stdlib.h>', '#include <string.h>']
    .concat(Array.from({ length: FUNCTIONS }, (_, i) => one(i)))
    .join('\n')
}

/** Made once per recipe and found from then on. */
export async function compilerImage(): Promise<UnpackedImage> {
  const recipe = await readRecipe(await hostSuite())
  const sources = recipe.sources.map(sourceLine)
  const text = JSON.stringify({
    sources,
    PACKAGES,
    MAKEFILE,
    FILES,
    text: source(0),
    architecture: process.arch,
  })
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`
  const folder = new ImageFolder(join(testCacheDir(), 'images'))
  const signal = AbortSignal.timeout(600_000)
  return folder.make(
    digest,
    `bench.test/compiler@${digest}`,
    () => undefined,
    signal,
    async into => {
      const rootfs = join(into, 'rootfs')
      process.stderr.write('making an image with a compiler\n')
      const options = [`--include=${PACKAGES.join(',')}`, ...DPKG_OPTIONS.map(each => `--dpkgopt=${each}`)]
      await mustRun(
        [
          ...(['mmdebstrap', '--quiet', '--mode=root', '--variant=minbase', '--format=directory'] as const),
          ...[...options, recipe.suite, rootfs, ...sources],
        ],
        { signal, cwd: into },
      )
      await mustRun(['mkdir', '-p', `${rootfs}${PROJECT}`])
      for (let n = 0; n < FILES; n++) await writeFile(`${rootfs}${PROJECT}/file${n}.c`, source(n))
      await writeFile(`${rootfs}${PROJECT}/Makefile`, MAKEFILE)
      const bytes = await diskUsage(rootfs, 'bytes', signal)
      return { config: { env: ['LANG=C.UTF-8'], user: 'root', workingDir: '/' }, bytes }
    },
  )
}
