// The import rule: dependency-cruiser with the rules of .dependency-cruiser.cjs, in the current directory.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'
import swc from '@swc/core/Visitor.js'
import { cruise } from 'dependency-cruiser'
import { report } from './report.mjs'
import { filesBelow } from './source-files.ts'

// swc parses `using` declarations, but the visitor that dependency-cruiser walks the tree with has no word for them.
const { Visitor } = swc
const visitStatement = Visitor.prototype.visitStatement
Visitor.prototype.visitStatement = function (statement) {
  if (statement.type !== 'UsingDeclaration') return visitStatement.call(this, statement)
  statement.decls = this.visitVariableDeclarators(statement.decls)
  return statement
}

const require = createRequire(import.meta.url)
const { options, ...ruleSet } = require(join(process.cwd(), '.dependency-cruiser.cjs'))
const { output } = await cruise(['src'], { ...options, ruleSet, validate: true })

const problems = output.summary.violations.map(({ rule, from, to, cycle }) => {
  const path = cycle === undefined ? to : cycle.map(step => step.name).join(' -> ')
  const why = ruleSet.forbidden.find(each => each.name === rule.name)?.comment
  return `${from} -> ${path}: ${rule.name}${why === undefined ? '' : ` (${why})`}`
})

// A cruiser that cannot read a language finds no imports and nothing wrong: every file must have been seen, and files
// that import must have been understood.
const expected = filesBelow('src').filter(path => !new RegExp(options.exclude.path).test(path))
const seen = new Map(output.modules.map(module => [module.source, module]))
for (const path of expected) if (!seen.has(path)) problems.push(`${path}: was not read`)
const edges = expected.reduce((sum, path) => sum + (seen.get(path)?.dependencies.length ?? 0), 0)
if (expected.length > 10 && edges < expected.length / 2) {
  problems.push(`only ${edges} imports found in ${expected.length} files: were they understood?`)
}

report(problems, `${expected.length} files with ${edges} imports`)
