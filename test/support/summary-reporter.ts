// What `npm test` says at the end comes from here: counts, and each skipped test with its reason. Written to the file
// that BOTHY_TEST_SUMMARY names; `scripts/test.mjs` prints it after everything else.
import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from 'vitest/node'

export interface Skipped {
  readonly file: string
  readonly title: string
  /** From `context.skip('reason')`, or from `(skipped: reason)` in the title of the test or of a suite around it. */
  readonly reason: string | undefined
}

export interface Summary {
  readonly passed: number
  readonly failed: number
  readonly skipped: readonly Skipped[]
}

function reasonIn(title: string): string | undefined {
  return /\(skipped: (.+?)\)(?: >|$)/.exec(title)?.[1]
}

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const path = process.env.BOTHY_TEST_SUMMARY
    if (path === undefined) return
    let passed = 0
    let failed = errors.length
    const skipped: Skipped[] = []
    for (const module of modules) {
      // A file that cannot even be loaded has no tests that could fail.
      if (module.errors().length > 0) failed++
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        else if (state === 'skipped') skipped.push(describeSkipped(module, test))
        else failed++
      }
      for (const suite of module.children.allSuites()) failed += suite.errors().length > 0 ? 1 : 0
    }
    const summary: Summary = { passed, failed, skipped }
    writeFileSync(path, JSON.stringify(summary))
  }
}

/** Tests of a suite whose `beforeAll` failed never ran; the failure itself is counted once, with the suite. */
function setUpFailed(test: TestCase): boolean {
  for (let at: TestSuite | TestModule = test.parent; ; at = at.parent) {
    if (at.errors().length > 0) return true
    if (at.type === 'module') return false
  }
}

function describeSkipped(module: TestModule, test: TestCase): Skipped {
  const result = test.result()
  const note = result.state === 'skipped' ? result.note : undefined
  const reason = note ?? reasonIn(test.fullName) ?? (setUpFailed(test) ? 'its set-up failed' : undefined)
  return { file: relative(process.cwd(), module.moduleId), title: test.fullName, reason }
}
