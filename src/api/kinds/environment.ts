import { z } from 'zod'
import { conditionsSchema } from '../conditions.ts'
import { gitUrlSchema } from '../git-url.ts'
import { imageReferenceSchema } from '../image-reference.ts'
import { environmentNameSchema, envVarsSchema, nameSchema } from '../names.ts'
import { bytesSchema, diskSizeSchema } from '../quantity.ts'
import type { KindDefinition } from './kind.ts'
import { KIND_NAMES } from './kind-names.ts'

const git = z.strictObject({
  url: gitUrlSchema.describe('https, http, ssh or git URL, or the scp-like form user@host:path.'),
  ref: z
    .string()
    .min(1)
    .max(256)
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._/+@-]*$/, 'a branch, a tag or a commit: letters, digits and ._/+@-')
    .refine(ref => !ref.includes('..') && !ref.endsWith('/') && !ref.endsWith('.lock'), 'not a valid git ref')
    .optional()
    .describe('Branch, tag or full commit id. Default: the branch that the remote has checked out.'),
  depth: z.int().min(0).max(1_000_000).default(1).describe('Commits of history to fetch; 0 means all of it.'),
  directory: nameSchema.optional().describe('Folder below /workspaces. Default: from the URL.'),
})

const upload = z.strictObject({
  directory: nameSchema.describe('Folder below /workspaces that receives the repository.'),
  ref: z.string().min(1).max(256).optional().describe('What to check out. Default: the HEAD that was sent.'),
  origin: gitUrlSchema.optional().describe("URL to keep as the remote 'origin'."),
})

/** Exactly one of them says where an environment's files come from. */
const content = z
  .strictObject({
    empty: z.strictObject({}).optional().describe('Start with an empty /workspaces.'),
    git: git.optional().describe('Clone a git repository.'),
    upload: upload
      .optional()
      .describe('Wait for the client to send a git bundle (what `bothy env create FOLDER` does).'),
    snapshot: z
      .strictObject({ name: nameSchema.describe('A Snapshot of the same owner.') })
      .optional()
      .describe('Begin with what a Snapshot holds: files and root file system.'),
    environment: z
      .strictObject({ name: environmentNameSchema.describe('An Environment of the same owner.') })
      .optional()
      .describe('Fork: begin with what the disk of another Environment holds, which may run and goes on.'),
  })
  .refine(value => Object.values(value).filter(part => part !== undefined).length === 1, {
    message: 'name exactly one of empty, git, upload, snapshot, environment',
  })

export const environmentSpecSchema = z.strictObject({
  desired: z
    .enum(['Running', 'Stopped'])
    .default('Running')
    .describe('What the environment should be doing.'),
  class: nameSchema.default('small').describe('The EnvironmentClass: resources, image, where it may run.'),
  runner: nameSchema.optional().describe('The Runner it is bound to. Set once, by the scheduler.'),
  content: content.default({ empty: {} }).describe('Where the files in /workspaces come from.'),
  image: imageReferenceSchema.optional().describe("Image of the root file system. Default: the class's."),
  disk: diskSizeSchema
    .optional()
    .describe(
      "Size of its disk, at most 8Ti: a hard limit, which can be raised at any time. Default: the class's.",
    ),
  env: envVarsSchema.default({}).describe('Environment variables of every process started in it.'),
})

export const stageSchema = z.strictObject({
  name: z.string(),
  started: z.string(),
  ended: z.string().optional(),
  message: z.string().optional().describe('Progress while it runs, result afterwards.'),
})
export type Stage = z.infer<typeof stageSchema>

export const PHASES = [
  'Pending',
  'Creating',
  'Starting',
  'Running',
  'Stopping',
  'Stopped',
  'Failed',
  'Deleting',
] as const

export const environmentStatusSchema = z.strictObject({
  phase: z
    .enum(PHASES)
    .default('Pending')
    .describe('Summary. Running holds exactly when condition Ready is True.'),
  observedGeneration: z.int().default(0),
  epoch: z.int().default(0).describe('Raised by each start; what carries an older one is refused.'),
  conditions: conditionsSchema.default([]),
  stages: z.array(stageSchema).default([]).describe('Where the time of the latest start or creation went.'),
  image: z
    .strictObject({ reference: z.string(), digest: z.string() })
    .optional()
    .describe('What the root file system was made from.'),
  disk: z
    .strictObject({ size: bytesSchema.describe('A hard limit; a disk never shrinks.') })
    .optional()
    .describe('What its disk is.'),
  git: z
    .strictObject({ directory: z.string(), commit: z.string(), branch: z.string().optional() })
    .optional(),
  usage: z
    .strictObject({
      cpuSeconds: z.number().nonnegative().describe('Processor time of everything in it.'),
      memoryPeak: bytesSchema.optional().describe('The most that was seen resident at a time.'),
    })
    .optional()
    .describe(
      'What its latest run used, as far as its runner saw it; written when that has ended. What it uses now is read ' +
        'beside it, as `usage`, and never stored here.',
    ),
  lastKill: z
    .strictObject({
      at: z.string(),
      process: z.string().max(64).describe('Its name; absent of one that the kernel shot.').optional(),
      memory: bytesSchema.optional().describe('What it held.'),
      reason: z.string().max(300),
    })
    .optional()
    .describe('The latest process in it that was killed for its memory.'),
})

export type EnvironmentSpec = z.infer<typeof environmentSpecSchema>
export type EnvironmentStatus = z.infer<typeof environmentStatusSchema>
export type EnvironmentPhase = EnvironmentStatus['phase']

export const environment: KindDefinition<EnvironmentSpec, EnvironmentStatus> = {
  ...KIND_NAMES.Environment,
  name: environmentNameSchema,
  description: 'A development environment: a machine-like sandbox with files, tools and a disk of its own.',
  spec: environmentSpecSchema,
  status: environmentStatusSchema,
  emptyStatus: environmentStatusSchema.parse({}),
  columns: [
    { name: 'Phase', type: 'string', path: '.status.phase', description: 'What it is doing.' },
    { name: 'Class', type: 'string', path: '.spec.class', description: 'Its EnvironmentClass.' },
    { name: 'Runner', type: 'string', path: '.spec.runner', description: 'Where it runs.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Time since creation.' },
    {
      name: 'Epoch',
      type: 'integer',
      path: '.status.epoch',
      description: 'How often it was started.',
      wide: true,
    },
    { name: 'Image', type: 'string', path: '.status.image.reference', description: 'Its image.', wide: true },
    {
      name: 'Commit',
      type: 'string',
      path: '.status.git.commit',
      description: 'Commit first checked out.',
      wide: true,
    },
  ],
  immutable: ['spec.content', 'spec.class', 'spec.image'],
  setOnce: ['spec.runner'],
  grows: ['spec.disk'],
  check(_namespace, { content: { snapshot, environment }, image }) {
    if (image === undefined || (snapshot ?? environment) === undefined) return []
    const message = 'must be absent: a copied disk lies on top of the image that its source has'
    return [{ field: 'spec.image', message, reason: 'FieldValueForbidden' }]
  },
  selectable: ['spec.runner', 'spec.class', 'status.phase'],
  categories: ['all'],
  actions: ['exec', 'content', 'logs'],
  reads: ['usage'],
}

export { environmentNameSchema }
