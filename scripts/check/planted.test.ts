// A check that finds nothing proves nothing: each rule of `npm run check` is shown a file that breaks it.
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT, toolEnvironment } from '../setup/node24.mjs'

/** A small project that breaks the rules: path and content. */
const PLANTED: Readonly<Record<string, string>> = {
  'src/lib/upwards.ts': "import { core } from '../core/fine.ts'\nexport const lib = core\n",
  'src/core/fine.ts': 'export const core = 1\n',
  'src/core/any.ts': 'export function wide(value: any): unknown {\n  return value\n}\n',
  'src/adapters/one/driver.ts': "import { two } from '../two/driver.ts'\nexport const one = two\n",
  'src/adapters/two/driver.ts': 'export const two = 2\n',
  'src/adapters/two/client.ts': "import type { Client } from 'pg'\nexport type Pg = Client\n",
  'src/adapters/two/unknown.ts': "import nobody from 'nobodys-package'\nexport default nobody\n",
  // `using` is a statement that the cruiser's own visitor does not know.
  'src/controllers/uses.ts':
    "import { sneaky } from '../server/http.ts'\nexport function run() {\n  using held = sneaky()\n  return held\n}\n",
  'src/server/http.ts': 'export const sneaky = (): Disposable => ({ [Symbol.dispose]() {} })\n',
  'src/newcomer/a.ts': 'export const a = 1\n',
  'src/lib/circle-a.ts': "import { b } from './circle-b.ts'\nexport const a: number = b\n",
  'src/lib/circle-b.ts': "import { a } from './circle-a.ts'\nexport const b: number = a\n",
  'src/api/types-a.ts': "import type { B } from './types-b.ts'\nexport interface A {\n  b?: B\n}\n",
  'src/api/types-b.ts': "import type { A } from './types-a.ts'\nexport interface B {\n  a?: A\n}\n",
  'src/lib/nowhere.ts': "import { gone } from './gone.ts'\nexport const x = gone\n",
  'src/core/promises.ts':
    'declare function work(): Promise<void>\nexport function forget(): void {\n  work()\n}\nexport const each = [1].forEach(async () => work())\n',
  'src/core/switches.ts':
    "export function name(x: 'a' | 'b'): string {\n  switch (x) {\n    case 'a':\n      return 'A'\n  }\n  return ''\n}\n",
  'src/core/world.ts':
    "import { env } from 'node:process'\nconsole.log(env)\nconsole.log(process.env.HOME)\nexport const now = Date.now()\nsetTimeout(() => {}, 1)\nexport { setTimeout as later } from 'node:timers/promises'\n",
  'src/core/today.ts': 'export const today = new Date()\n',
  'src/core/quiet.ts': 'export const done = Promise.resolve().catch(() => undefined)\n',
  'src/core/long.ts': 'export const line = 1\n'.concat('//\n'.repeat(400)),
  'src/core/ugly.ts': 'export   const ugly = "ugly";\n',
  'src/core/typo.ts': "export const wrong: number = 'text'\n",
  'scripts/unused.mjs': "import { nothing } from './setup/gone.mjs'\nnothing()\n",
  'node_modules/pg/package.json': '{ "name": "pg", "version": "1.0.0", "main": "index.js" }',
  'node_modules/pg/index.js': 'module.exports = {}\n',
  'node_modules/nobodys-package/package.json': '{ "name": "nobodys-package", "version": "1.0.0" }',
  'node_modules/nobodys-package/index.js': 'module.exports = 1\n',
  'ARCHITECTURE.md': '# Architecture\n\nsrc/core/ and [nothing](docs/gone.md)\n',
  'docs/adr/0002-second.md': '# Second\n\n## Context\n\nNone.\n',
  'package-lock.json': JSON.stringify({
    packages: {
      '': {},
      'node_modules/tool': {
        optionalDependencies: { 'tool-darwin-arm64': '1.2.3' },
        resolved: 'https://host/x',
      },
    },
  }),
  'package.json':
    '{ "name": "planted", "type": "module", "scripts": { "hum": "x" }, "dependencies": { "left-over": "1.0.0" } }',
  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable', 'dom'],
      module: 'nodenext',
      noEmit: true,
      strict: true,
      types: [],
      allowImportingTsExtensions: true,
    },
    include: ['src'],
  }),
}

let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bothy-planted-'))
  for (const [path, text] of Object.entries(PLANTED)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  for (const path of ['.dependency-cruiser.cjs', '.oxlintrc.json', 'biome.json', 'knip.jsonc']) {
    cpSync(join(ROOT, path), join(folder, path))
  }
  symlinkSync(join(ROOT, '.gitignore'), join(folder, '.gitignore'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function run(program: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...toolEnvironment(), NO_COLOR: '1' }
    const child = spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (chunk: string) => {
      output += chunk
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    child.once('error', reject)
    child.once('close', code => resolve(`${output}\nexit ${code}`))
  })
}

const own = (name: string) => run('node', join(ROOT, 'scripts', 'check', `${name}.mjs`))

test('imports: upwards, sideways, circles, foreign packages, unknown folders and missing files are found', async () => {
  const found = await own('imports')
  for (const line of [
    'src/lib/upwards.ts -> src/core/fine.ts: lib-imports-downwards-only',
    'src/controllers/uses.ts -> src/server/http.ts: controllers-imports-downwards-only',
    'src/adapters/one/driver.ts -> src/adapters/two/driver.ts: adapters-never-import-siblings',
    'src/adapters/two/client.ts -> node_modules/pg/index.js: pg-belongs-to-adapters/postgres',
    'src/adapters/two/unknown.ts -> node_modules/nobodys-package/index.js: npm-package-without-owner',
    'src/lib/nowhere.ts -> ./gone.ts: not-resolvable',
    'src/lib/circle-a.ts -> src/lib/circle-b.ts -> src/lib/circle-a.ts: no-circular',
    'exit 1',
  ]) {
    expect(found).toContain(line)
  }
  expect(found).not.toContain('types-a')
  expect(found).not.toContain('was not read')
})

test('lint: forgotten promises, open switches, any, console, environment and clocks are found', async () => {
  const found = await run('oxlint', '--type-aware', '-f', 'unix', 'src')
  for (const [file, rule] of [
    ['src/core/promises.ts:3', 'no-floating-promises'],
    ['src/core/promises.ts:5', 'no-misused-promises'],
    ['src/core/switches.ts:2', 'switch-exhaustiveness-check'],
    ['src/core/any.ts:1', 'no-explicit-any'],
    ['src/core/world.ts:2', 'no-console'],
    ['src/core/world.ts:1', 'no-restricted-imports'],
    ['src/core/world.ts:3', 'no-process-env'],
    ['src/core/world.ts:4', 'no-restricted-properties'],
    ['src/core/world.ts:5', 'no-restricted-globals'],
    ['src/core/world.ts:6', 'no-restricted-imports'],
  ] as const) {
    expect(
      found.split('\n').some(line => line.startsWith(file) && line.includes(rule)),
      `${file} ${rule}`,
    ).toBe(true)
  }
  expect(found).toContain('exit 1')
})

test('types, format and unused packages are found', async () => {
  const [types, format, unused] = await Promise.all([
    run('tsc', '-p', '.'),
    run('biome', 'check', '--vcs-enabled=false', '--reporter=summary', '.'),
    run('knip', '--no-config-hints', '--no-progress'),
  ])
  expect(types).toContain('src/core/typo.ts(1,14)')
  expect(format).toContain('src/core/ugly.ts')
  expect(unused).toContain('left-over')
})

test('house rules: long files, clocks and swallowed errors are found', async () => {
  const found = await own('house-rules')
  expect(found).toContain('src/core/long.ts: 401 lines')
  expect(found).toContain('src/core/today.ts:1: time comes from')
  expect(found).toContain('src/core/quiet.ts:1: a swallowed error')
})

test('docs: unnamed folders, half decisions and dead links are found', async () => {
  const found = await own('docs')
  expect(found).toContain('does not name src/newcomer/')
  expect(found).toContain('does not name src/adapters/two/')
  expect(found).toContain("0002-second.md: has no '## Decision'")
  expect(found).toContain('numbers of decisions')
  expect(found).toContain('link to docs/gone.md')
  expect(found).toContain("does not explain 'npm run hum'")
})

test('lockfile: registries and missing optional packages are found', async () => {
  const found = await own('lockfile')
  expect(found).toContain('node_modules/tool: names a registry')
  expect(found).toContain('its optional package tool-darwin-arm64 has no entry')
})
