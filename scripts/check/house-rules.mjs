// House rules that no tool knows, over the text of the sources in the current directory.
import { readFileSync } from 'node:fs'
import { report } from './report.mjs'
import { filesBelow } from './source-files.ts'

const MAX_LINES = 350

/** Files that may be longer, by name, with the reason. */
const LONGER = {
  'src/core/driver.contract.ts': { lines: 500, why: 'one list of promises' },
}

/** What no line may contain. `except`: files that may, each with its reason. */
const FORBIDDEN = [
  {
    in: /^src\//,
    pattern: /\bnew Date\(\)/,
    say: 'time comes from lib/clock.ts',
    except: {},
  },
  {
    in: /^(src|test|bench|scripts)\//,
    pattern: /\bshell:\s*true\b|\bexecSync\(|\bspawnSync\([^)]*['"]-c['"]/,
    say: 'no shell strings: argv arrays',
    except: { 'scripts/check/house-rules.mjs': 'the rule itself' },
  },
  {
    in: /^src\/(?!.*\.(test|contract)\.ts$)/,
    pattern: /\.catch\(\(\) *=> *(\{ *\}|undefined|null)\)/,
    unlessCommented: true,
    say: 'a swallowed error needs a comment that says why, beside or above it',
    except: {},
  },
]

const files = ['src', 'test', 'bench', 'scripts'].flatMap(folder => filesBelow(folder, /\.(ts|mjs)$/))
const problems = []
for (const file of files) {
  const lines = readFileSync(file, 'utf8').split('\n')
  const limit = LONGER[file]?.lines ?? MAX_LINES
  if (lines.length - 1 > limit) {
    problems.push(`${file}: ${lines.length - 1} lines, ${limit} allowed: split it by concern`)
  }
  for (const rule of FORBIDDEN) {
    if (!rule.in.test(file) || rule.except[file] !== undefined) continue
    lines.forEach((line, index) => {
      if (!rule.pattern.test(line) || /^\s*(\/\/|\*)/.test(line)) return
      const near = lines.slice(Math.max(0, index - 2), index + 1)
      if (!(rule.unlessCommented && near.some(each => /(^|\s)\/\/ /.test(each)))) {
        problems.push(`${file}:${index + 1}: ${rule.say}`)
      }
    })
  }
}
report(problems, `${files.length} files`)
