import { expect, test } from 'vitest'
import { installedMatches } from './npm-packages.mjs'

const lock = {
  packages: {
    '': {},
    'node_modules/a': { version: '1.0.0' },
    'node_modules/tool': { version: '2.0.0', dev: true },
    'node_modules/elsewhere-darwin': { version: '3.0.0', optional: true },
  },
}
const a = { 'node_modules/a': { version: '1.0.0' } }
const all = { ...a, 'node_modules/tool': { version: '2.0.0' } }

test.each([
  ['everything is there', all, {}, true],
  ['nothing is there', {}, {}, false],
  ['an older version is there', { ...all, 'node_modules/a': { version: '0.9.0' } }, {}, false],
  ['tools are missing', a, {}, false],
  ['tools are missing and not wanted', a, { production: true }, true],
  [
    'a package of this platform is old',
    { ...all, 'node_modules/elsewhere-darwin': { version: '2.9.0' } },
    {},
    false,
  ],
])('%s', (_, packages, options, matches) => {
  expect(installedMatches(lock, { packages }, options)).toBe(matches)
})
