import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from './node24.mjs'
import { explainMissing, findMissing, RUNTIME } from './system-packages.mjs'

test('what is there is not missing, wherever it is; what is nowhere is', () => {
  const shell = { program: 'sh', package: 'dash', purpose: 'a shell' }
  const account = { file: '/etc/passwd', package: 'base-passwd', purpose: 'accounts' }
  const nothing = { program: 'no-such-program-anywhere', package: 'none', purpose: 'nothing' }
  const nowhere = { file: '/no/such/file', package: 'none', purpose: 'nothing' }
  expect(findMissing([shell, nothing, account, nowhere])).toEqual([nothing, nowhere])
})

test('the explanation names programs, and each package once', () => {
  const needs = [
    { program: 'one', package: 'pair', purpose: 'a' },
    { program: 'two', package: 'pair', purpose: 'b' },
  ]
  const text = explainMissing(needs)
  expect(text).toMatch(/^ {4}one /m)
  expect(text).toMatch(/install --no-install-recommends pair$/)
})

test('the requirements page names every package that is installed', () => {
  const page = readFileSync(join(ROOT, 'docs', 'operate', 'requirements.md'), 'utf8')
  const unnamed = RUNTIME.map(need => need.package).filter(name => !page.includes(`\`${name}\``))
  expect(unnamed).toEqual([])
})
