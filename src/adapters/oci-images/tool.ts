import { access, constants as modes } from 'node:fs/promises'
import { constants } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Background } from '../../core/background.ts'
import type { OnProgress } from '../../core/images.ts'
import { Fault } from '../../lib/fault.ts'
import { type ProcessResult, runProcess } from '../../lib/run-process.ts'

export interface ToolOptions {
  readonly cwd: string
  readonly signal: AbortSignal
  readonly env?: Readonly<Record<string, string>>
  readonly onLine?: OnProgress
  /** Of what takes long: puts it behind everybody else. */
  readonly background?: Background | undefined
}

// What the tools may see of this process's environment: how to reach the network, nothing else.
const PASSED_ON = ['PATH', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'http_proxy', 'https_proxy', 'no_proxy']
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** In front of a command: whoever types on this host goes first, for the processor and for the disk. */
export const LAST_IN_LINE = ['nice', '-n', '10', 'ionice', '-c', '3'] as const

/**
 * Runs a tool that makes an image, with the lowest priority for processor and disk: people are typing on this host.
 * It gets mount and pid namespaces of its own and dies with this process, so that neither processes nor mounts are
 * left behind by a crash. Non-zero exits are values; being killed is a fault, `unavailable`.
 */
export async function runTool(
  argv: readonly [string, ...string[]],
  options: ToolOptions,
): Promise<ProcessResult> {
  requireRoot()
  await requireProgram(argv[0])
  const contained = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const whole: [string, ...string[]] = ['setpriv', '--pdeathsig', 'KILL', '--', ...contained]
  const program = [...whole, '--', ...LAST_IN_LINE, ...argv] as const
  const { background } = options
  const result = await runProcess(background?.after(program) ?? program, {
    cwd: options.cwd,
    env: { ...toolEnvironment(), TMPDIR: options.cwd, HOME: options.cwd, ...options.env },
    signal: options.signal,
    ...(options.onLine === undefined ? {} : { onLine: options.onLine }),
  })
  // As a shell says it: unshare(1) passes on that its child was killed, which no tool here does to itself.
  if (result.signal === null && result.code !== 128 + constants.signals.SIGKILL) return result
  const hint = 'is the host short of memory? Its kernel log says so; it is tried again'
  throw new Fault('unavailable', 'image-tool-killed', `run ${argv[0]}: it was killed`, { hint })
}

/** Whether this process goes to the network through a proxy, which Node's own fetch would not. */
export function usesProxy(): boolean {
  const names = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'all_proxy']
  return names.some(name => (process.env[name] ?? '') !== '')
}

/** Making images writes files of other owners, device-free but with their modes: only root can. */
export function requireRoot(): void {
  if (process.geteuid?.() === 0) return
  const hint = 'start the runner as root, or with sudo'
  throw new Fault('unsupported', 'image-needs-root', 'unpack an image: needs root', { hint })
}

const PACKAGES: Readonly<Record<string, string>> = { ionice: 'util-linux', nice: 'coreutils' }

async function requireProgram(name: string): Promise<void> {
  if (isAbsolute(name)) return
  for (const folder of (process.env['PATH'] ?? PATH).split(':')) {
    const found = await access(join(folder, name), modes.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return
  }
  const hint = `install the package '${PACKAGES[name] ?? name}'`
  throw new Fault('unsupported', 'image-tool-missing', `run ${name}: not installed`, { hint })
}

function toolEnvironment(): Record<string, string> {
  const passed: Record<string, string> = { PATH, LC_ALL: 'C' }
  for (const name of PASSED_ON.flatMap(name => [name, name.toUpperCase()])) {
    const value = process.env[name]
    if (value !== undefined) passed[name] = value
  }
  return passed
}
