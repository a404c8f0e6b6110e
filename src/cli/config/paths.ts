// Where things are kept, by the XDG base directory specification.
import { join } from 'node:path'
import { Fault } from '../../lib/fault.ts'

type Env = Readonly<Record<string, string | undefined>>

/** `$XDG_CONFIG_HOME/bothy/config.yaml`, by default below `~/.config`. */
export function configPath(env: Env): string {
  const base = absolute(env.XDG_CONFIG_HOME) ?? join(home(env), '.config')
  return join(base, 'bothy', 'config.yaml')
}

/**
 * The variables that another program has to set for `configPath` to find the same file with the same HOME; empty when
 * it is where it is by default.
 */
export function configVariables(env: Env): Readonly<Record<string, string>> {
  const base = absolute(env.XDG_CONFIG_HOME)
  const isDefault = base === undefined || (hasHome(env) && configPath(env) === configPath({ HOME: env.HOME }))
  return isDefault ? {} : { XDG_CONFIG_HOME: base }
}

/**
 * Where `bothy up` keeps what must not be lost: `$XDG_DATA_HOME/bothy`, by default `~/.local/share/bothy`. For root
 * /var/lib/bothy: the server and its database give root away and must reach their files, which root's home forbids.
 */
export function defaultDataDir(env: Env, isRoot: boolean): string {
  if (isRoot) return '/var/lib/bothy'
  const base = absolute(env.XDG_DATA_HOME) ?? join(home(env), '.local', 'share')
  return join(base, 'bothy')
}

// The XDG specification: relative paths in these variables are to be ignored.
function absolute(path: string | undefined): string | undefined {
  return path?.startsWith('/') === true ? path : undefined
}

function hasHome(env: Env): env is Env & { readonly HOME: string } {
  return env.HOME !== undefined && env.HOME !== ''
}

function home(env: Env): string {
  if (hasHome(env)) return env.HOME
  throw new Fault('unavailable', 'no-home', 'find the configuration: HOME is not set', {
    hint: 'set HOME or XDG_CONFIG_HOME',
  })
}
