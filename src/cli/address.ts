import { isIP } from 'node:net'
import { Fault } from '../lib/fault.ts'
import type { Address } from './deps.ts'

/** `127.0.0.1:7443`, `[::1]:7443`, or a port alone, which means loopback. Faults with `invalid`. */
export function parseAddress(text: string): Address {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+|localhost)):)?(\d{1,5})$/.exec(text)
  const [, v6, v4, digits] = match ?? []
  const host = v6 ?? (v4 === 'localhost' ? '127.0.0.1' : v4) ?? '127.0.0.1'
  const port = Number(digits)
  const isRightFamily = isIP(host) === (v6 === undefined ? 4 : 6)
  if (match === null || port > 65_535 || !isRightFamily) {
    throw new Fault('invalid', 'address-invalid', `'${text}' is not an address to listen on`, {
      hint: 'write IP:PORT, [IPV6]:PORT or PORT; 0.0.0.0:PORT for all interfaces, port 0 for any free one',
    })
  }
  return { host, port }
}
