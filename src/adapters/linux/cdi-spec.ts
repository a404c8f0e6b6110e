// Specs of the Container Device Interface, parsed: SPEC.md of cncf-tags/container-device-interface, up to version 1.0.
// What a sandbox cannot be given without a hole in its walls makes its device one that is not offered, with the reason.
import { parse } from 'yaml'
import { z } from 'zod'
import { DEVICE_NAME } from '../../api/device-name.ts'
import { IDS_PER_SLOT } from './slots.ts'

const absolute = z.string().startsWith('/', 'an absolute path')
const variable = z.string().regex(/^[^=\0]+=[^\0]*$/, 'NAME=value')

const editsSchema = z.strictObject({
  env: z.array(variable).default([]),
  deviceNodes: z
    .array(
      z.strictObject({
        path: absolute,
        hostPath: absolute.optional(),
        type: z.string().optional(),
        major: z.int().nonnegative().optional(),
        minor: z.int().nonnegative().optional(),
        fileMode: z.int().nonnegative().optional(),
        permissions: z
          .string()
          .regex(/^[rwm]{1,3}$/)
          .optional(),
        uid: z.int().nonnegative().optional(),
        gid: z.int().nonnegative().optional(),
      }),
    )
    .default([]),
  mounts: z
    .array(
      z.strictObject({
        hostPath: absolute,
        containerPath: absolute,
        type: z.string().optional(),
        options: z.array(z.string()).default([]),
      }),
    )
    .default([]),
  hooks: z
    .array(
      z.strictObject({
        hookName: z.string(),
        path: absolute,
        args: z.array(z.string()).optional(),
        env: z.array(variable).optional(),
        timeout: z.int().positive().optional(),
      }),
    )
    .default([]),
  additionalGids: z.array(z.int().nonnegative()).default([]),
  intelRdt: z.unknown().optional(),
  netDevices: z.array(z.unknown()).default([]),
})

const specSchema = z.strictObject({
  cdiVersion: z.string().regex(/^v?(0\.[3-9]|1\.[01])\.[0-9]+$/, 'a version from 0.3.0 to 1.1.x'),
  kind: z.string().refine(kind => DEVICE_NAME.test(`${kind}=x`), 'vendor.com/class'),
  annotations: z.record(z.string(), z.string()).optional(),
  devices: z.array(
    z.strictObject({
      name: z.union([z.string(), z.number()]).transform(String),
      annotations: z.record(z.string(), z.string()).optional(),
      containerEdits: editsSchema.prefault({}),
    }),
  ),
  containerEdits: editsSchema.prefault({}),
})

export type ContainerEdits = z.infer<typeof editsSchema>

/** A device by its full name, with what it changes; the edits of its spec first. */
export interface CdiDevice {
  readonly name: string
  readonly edits: readonly ContainerEdits[]
  /** Why it cannot be given to sandboxes; absent: it can. */
  readonly refused?: string
}

/** What the operator decides about devices. */
export interface DevicePermits {
  /** Run the hooks that specs bring. */
  readonly hooks: boolean
}

/** Throws with a message for people when the text is no spec. */
export function parseSpec(text: string, permits: DevicePermits): CdiDevice[] {
  const parsed = specSchema.safeParse(parse(text, { maxAliasCount: 0 }))
  if (!parsed.success) throw new Error(z.prettifyError(parsed.error))
  const { kind, devices, containerEdits } = parsed.data
  return devices.map(device => {
    const name = `${kind}=${device.name}`
    const edits = [containerEdits, device.containerEdits]
    const refused = DEVICE_NAME.test(name)
      ? edits.map(each => whyRefused(each, permits)).find(why => why !== undefined)
      : 'its name is not one'
    return { name, edits, ...(refused === undefined ? {} : { refused }) }
  })
}

// The host's memory, ports and log (Documentation/admin-guide/devices.txt), by their names in /dev.
const WHOLE_HOST =
  /^\/dev\/(mem|kmem|port|kmsg|loop-control|autofs|mapper\/control|kvm|vhost-.*|uinput|tty.*|console)$/

// Where a sandbox has mounts of its own that hold its walls or its files.
const TAKEN = ['/', '/dev', '/proc', '/sys', '/workspaces', '/etc/resolv.conf', '/etc/hosts', '/etc/hostname']

// Files of the host that would be the host: writing or merely listing them breaks the walls.
const HOST_FOLDERS = [
  '/',
  '/boot',
  '/dev',
  '/etc',
  '/home',
  '/proc',
  '/root',
  '/run',
  '/run/bothy',
  '/sys',
  '/var',
]

function whyRefused(edits: ContainerEdits, { hooks }: DevicePermits): string | undefined {
  for (const { path, hostPath = path, type = 'c' } of edits.deviceNodes) {
    if (type !== 'c' && type !== 'u') return `${path} is no character device`
    if (WHOLE_HOST.test(clean(hostPath))) return `${hostPath} is the whole host's`
    if (!clean(path).startsWith('/dev/')) return `${path} is not below /dev`
  }
  for (const { hostPath, containerPath, type = 'bind', options } of edits.mounts) {
    if (type !== 'bind' && type !== '' && type !== 'none') return `it mounts a file system of type ${type}`
    const target = clean(containerPath)
    if (TAKEN.includes(target) || /^\/(proc|sys)\//.test(target) || target.startsWith('/dev/.'))
      return `it mounts something at ${containerPath}`
    if (HOST_FOLDERS.includes(clean(hostPath)) || clean(hostPath).startsWith('/run/bothy/'))
      return `it shows the host's ${hostPath}`
    if (options.some(each => each.endsWith('shared')))
      return `it shares mounts below ${hostPath} with the host`
  }
  if (edits.hooks.length > 0 && !hooks)
    return 'it runs hooks, which devices.hooks in runner.yaml does not permit'
  // Others run beside the sandbox, with all that the host's root may do.
  const hook = edits.hooks.find(each => each.hookName !== 'createContainer')
  if (hook !== undefined) return `it runs a hook at ${hook.hookName}; only createContainer is run inside`
  if (edits.additionalGids.some(gid => gid >= IDS_PER_SLOT)) return 'it adds a group that no sandbox has'
  if (edits.intelRdt !== undefined) return 'it wants a share of the processor cache (intelRdt)'
  if (edits.netDevices.length > 0) return 'it moves network devices'
  return undefined
}

const clean = (path: string): string =>
  `/${path
    .split('/')
    .reduce<string[]>(
      (parts, part) =>
        part === '' || part === '.' ? parts : part === '..' ? parts.slice(0, -1) : [...parts, part],
      [],
    )
    .join('/')}`
