// All governors there are. A new one is a file beside this and a line here.
import { cpu } from './cpu.ts'
import type { Governor } from './governor.ts'
import { io } from './io.ts'
import { jobs } from './jobs.ts'
import { memory } from './memory.ts'
import { suspend } from './suspend.ts'

/** In the order in which they decide. */
export const GOVERNORS: readonly Governor<unknown>[] = [jobs, cpu, io, memory, suspend]
