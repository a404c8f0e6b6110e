/** One place that apt fetches packages from. */
export interface AptSource {
  readonly uri: string
  readonly suite: string
  readonly components: readonly string[]
}

/** What /etc/os-release says about the host. */
export interface OsRelease {
  readonly id: string
  readonly codename: string
}

/**
 * Reads sources.list(5) in its one-line form. Sources that are not plain http(s) or that carry a password are left
 * out: they cannot be used by somebody else or must not be copied.
 */
export function parseOneLineSources(text: string): AptSource[] {
  return text.split('\n').flatMap(line => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line)
    if (match === null) return []
    return usable([match[1]!], [match[2]!], words(match[3]!))
  })
}

/** Reads sources.list(5) in its deb822 form. */
export function parseDeb822Sources(text: string): AptSource[] {
  const lines = text.split('\n').filter(line => !line.startsWith('#'))
  return lines
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap(stanza => {
      const fields = new Map<string, string>()
      for (const [, name, value] of stanza.matchAll(/^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)/gm)) {
        fields.set(name!.toLowerCase(), value!)
      }
      if (/^\s*(no|false|0|off)\s*$/i.test(fields.get('enabled') ?? '')) return []
      if (!words(fields.get('types') ?? '').includes('deb')) return []
      return usable(
        words(fields.get('uris') ?? ''),
        words(fields.get('suites') ?? ''),
        words(fields.get('components') ?? ''),
      )
    })
}

export function parseOsRelease(text: string): OsRelease {
  const value = (name: string) => new RegExp(`^${name}=["']?([^"'\\n]*)`, 'm').exec(text)?.[1] ?? ''
  return { id: value('ID'), codename: value('VERSION_CODENAME') }
}

function words(text: string): string[] {
  return text.split(/\s+/).filter(word => word !== '')
}

function usable(uris: string[], suites: string[], components: string[]): AptSource[] {
  return uris.flatMap(text => {
    if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return []
    const url = new URL(text)
    if (url.username !== '' || url.password !== '') return []
    const uri = url.href.replace(/\/+$/, '')
    return suites.map(suite => ({ uri, suite, components }))
  })
}
