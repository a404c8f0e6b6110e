// What environments and their hosts use, as runners measured it a moment ago. It is told and read beside the resources and
// never becomes a revision: nobody watches it, and it is wrong in a second.
import { z } from 'zod'

const amount = z.number().nonnegative().max(Number.MAX_SAFE_INTEGER)
const count = z.int().nonnegative()
/** Of the time that the figures are of. */
const share = z.number().min(0).max(1)
const text = z.string().max(300)

export const environmentUsageSchema = z.strictObject({
  cpu: z.strictObject({
    cores: amount.describe('Processors kept busy, on average.'),
    sessionCores: amount.describe('Those by what people look at: shells, editors, language servers.'),
    throttled: share.optional().describe('Share of the time that a ceiling held it up.'),
    pressure: share.optional().describe('Share of the time that something in it waited for a processor.'),
  }),
  memory: z.strictObject({
    bytes: amount.describe('Resident, page cache included.'),
    limitBytes: amount.optional().describe('Absent: none.'),
    swapBytes: amount.optional(),
    pressure: share.optional(),
    oomKills: count.describe('Processes that the kernel has shot since it started.'),
  }),
  io: z
    .strictObject({
      readBytesPerSecond: amount,
      writtenBytesPerSecond: amount,
      pressure: share.optional(),
    })
    .optional(),
  network: z.strictObject({ receivedBytesPerSecond: amount, sentBytesPerSecond: amount }).optional(),
  processes: count,
  processesRefused: count.optional().describe('So many were refused meanwhile: its ceiling was reached.'),
  isFrozen: z.boolean(),
  governor: z
    .strictObject({
      name: text.describe('The governor that acted last: cpu, memory, io, suspend.'),
      act: text.describe('What it did.'),
      why: text,
      at: z.iso.datetime().describe("By the runner's clock."),
    })
    .optional()
    .describe('Absent: none has acted since it started, or since its runner did.'),
})

export const hostUsageSchema = z.strictObject({
  cores: count,
  busyCores: amount,
  memory: z.strictObject({
    totalBytes: amount,
    availableBytes: amount.describe('What could be given away without swapping.'),
    swapTotalBytes: amount,
    swapFreeBytes: amount,
  }),
  pressure: z.strictObject({ cpu: share.optional(), memory: share.optional(), io: share.optional() }),
})

/** What a runner tells: all of its host. The most that fits leaves 1 KiB for each environment. */
export const usageReportSchema = z.strictObject({
  /** What the figures are an average of. */
  windowMs: amount,
  host: hostUsageSchema,
  environments: z
    .array(z.strictObject({ uid: z.uuid(), usage: environmentUsageSchema }))
    .max(4096, 'at most 4096 environments'),
})

export type EnvironmentUsage = z.infer<typeof environmentUsageSchema>
export type HostUsage = z.infer<typeof hostUsageSchema>
export type UsageReport = z.infer<typeof usageReportSchema>

/** What a runner hears when it has told: how long until the next time, shorter while somebody looks. */
export interface UsageReceipt {
  readonly nextMs: number
}

interface Measured {
  /** When the server heard it, by its own clock. */
  readonly timestamp: string
  /** What the figures are an average of, in milliseconds before that. */
  readonly windowMs: number
}

interface NameOf {
  readonly name: string
  readonly namespace: string
  readonly uid: string
}

/** As `GET …/environments/NAME/usage` answers it. */
export interface EnvironmentUsageObject extends Measured {
  readonly apiVersion: string
  readonly kind: 'EnvironmentUsage'
  readonly metadata: NameOf
  readonly runner: string
  readonly usage: EnvironmentUsage
}

export interface RunnerUsageObject extends Measured {
  readonly metadata: NameOf
  readonly usage: HostUsage
}

/** As `GET …/environmentusages` answers it. */
export interface EnvironmentUsageList {
  readonly apiVersion: string
  readonly kind: 'EnvironmentUsageList'
  readonly metadata: Readonly<Record<string, never>>
  readonly items: readonly EnvironmentUsageObject[]
  /** Of the hosts that these run on. */
  readonly runners: readonly RunnerUsageObject[]
}
