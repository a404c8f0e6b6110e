// Documentation that can be wrong without anybody noticing, in the current directory: folders that ARCHITECTURE.md does
// not name, decisions without consequences, links to nowhere.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { report } from './report.mjs'
import { filesBelow } from './source-files.ts'

const problems = []

// Every folder of src/, and every adapter and controller, is named where a newcomer looks for it.
const architecture = existsSync('ARCHITECTURE.md') ? readFileSync('ARCHITECTURE.md', 'utf8') : ''
const NESTED = new Set(['adapters', 'controllers'])
for (const layer of foldersOf('src')) {
  if (!architecture.includes(`${layer}/`)) problems.push(`ARCHITECTURE.md does not name src/${layer}/`)
  if (!NESTED.has(layer)) continue
  for (const part of foldersOf(join('src', layer))) {
    if (!architecture.includes(`${part}/`))
      problems.push(`ARCHITECTURE.md does not name src/${layer}/${part}/`)
  }
}

// A decision says what made it necessary, what it is, and what it costs.
const decisions = filesBelow('docs/adr', /^\d{4}-.*\.md$/)
decisions.forEach((path, index) => {
  const text = readFileSync(path, 'utf8')
  for (const section of ['## Context', '## Decision', '## Consequences']) {
    if (!text.includes(`\n${section}\n`)) problems.push(`${path}: has no '${section}'`)
  }
  const number = String(index + 1).padStart(4, '0')
  if (!path.includes(`/${number}-`))
    problems.push(`${path}: the numbers of decisions have a gap or a double before it`)
})

// Relative links lead somewhere, headings included.
const pages = [...readdirSync('.').filter(name => name.endsWith('.md')), ...filesBelow('docs', /\.md$/)]
for (const page of pages) {
  const text = readFileSync(page, 'utf8').replace(/```[\s\S]*?```/g, '')
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue
    const [path, anchor] = target.split('#')
    const file = path === '' ? page : join(dirname(page), decodeURIComponent(path))
    if (!existsSync(file)) problems.push(`${page}: link to ${target}, which is not there`)
    else if (anchor !== undefined && file.endsWith('.md') && !anchorsOf(file).has(anchor)) {
      problems.push(`${page}: link to ${target}: no such heading`)
    }
  }
}

// Every verb is explained to those who are new.
const contributing = existsSync('CONTRIBUTING.md') ? readFileSync('CONTRIBUTING.md', 'utf8') : ''
for (const verb of Object.keys(JSON.parse(readFileSync('package.json', 'utf8')).scripts ?? {})) {
  if (!new RegExp(`\`npm (run )?${verb}\\b`).test(contributing)) {
    problems.push(`CONTRIBUTING.md does not explain 'npm run ${verb}'`)
  }
}

report(problems, `${pages.length} pages, ${decisions.length} decisions in ${process.cwd()}`)

function foldersOf(path) {
  if (!existsSync(path)) return []
  return readdirSync(path, { withFileTypes: true })
    .filter(entry => entry.isDirectory() && readdirSync(join(path, entry.name)).length > 0)
    .map(entry => entry.name)
}

/** As GitHub makes them: lower case, punctuation dropped, spaces to hyphens. */
function anchorsOf(file) {
  const headings = readFileSync(file, 'utf8').matchAll(/^#+ +(.*)$/gm)
  return new Set(
    [...headings].map(([, title]) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}
