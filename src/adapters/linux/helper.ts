import { fileURLToPath } from 'node:url'

/** Path of one of the perl programs beside this file. */
export const helperPath = (name: string): string => fileURLToPath(new URL(`helpers/${name}`, import.meta.url))

/** All that a helper, and what it runs, sees of our environment. */
export const HELPER_ENV: NodeJS.ProcessEnv = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  BOTHY_ARCH: process.arch,
}
