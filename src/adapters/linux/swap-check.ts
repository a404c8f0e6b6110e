import { readFile } from 'node:fs/promises'
import type { HealthCheck } from '../../core/driver.ts'
import { hasControl } from './resources/zram.ts'

/** Is there somewhere for memory that idle environments do not use? */
export async function checkSwap(): Promise<HealthCheck> {
  const text = await readFile('/proc/swaps', 'utf8').catch(() => '') // A kernel without swap has no such file.
  // A module that can be loaded is only known when it is tried, which takes the power to.
  return judgeSwap(text, process.getuid?.() === 0 && (await hasControl()))
}

/** Pure part of `checkSwap`: from the text of /proc/swaps, and whether zram can be had. */
export function judgeSwap(swaps: string, hasZram: boolean): HealthCheck {
  const check = { name: 'swap', required: false }
  const entries = swaps
    .split('\n')
    .slice(1)
    .flatMap(line => {
      const [name = '', , kilobytes] = line.split(/\s+/)
      return name === '' ? [] : [{ name, bytes: Number(kilobytes) * 1024 }]
    })
  const size = (entries.reduce((sum, { bytes }) => sum + bytes, 0) / 2 ** 30).toFixed(1)
  if (entries.length > 0) {
    const isCompressed = entries.some(({ name }) => /^\/dev\/(block\/)?zram/.test(name))
    const found = `${size} GiB, ${isCompressed ? 'in compressed memory' : 'on disk'}`
    if (isCompressed)
      return { ...check, ok: true, found: `${found}: idle environments wake in tens of milliseconds` }
    const hint =
      'swap: zram in runner.yaml adds swap in compressed memory, from which environments wake ten times as fast'
    const text = `${found}: idle environments wake in some hundred milliseconds`
    return hasZram ? { ...check, ok: true, found: text, hint } : { ...check, ok: true, found: text }
  }
  if (hasZram)
    return { ...check, ok: true, found: 'none; a runner makes some in compressed memory, unless told not to' }
  return {
    ...check,
    ok: false,
    found: 'none: idle environments keep their memory, and no more is promised than there is',
    hint: 'modprobe zram, or add a swap file; half as many environments again fit then',
  }
}
