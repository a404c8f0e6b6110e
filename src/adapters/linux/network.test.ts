import { expect, test } from 'vitest'
import { parseTables } from './network.ts'

test("runners are known by their tables, and nobody else's table is taken for one", () => {
  const text = `table inet filter
table inet bothy_rab12x
table inet bothy_tooLong
table ip bothy_rzzzzz
table inet bothy_r00000
`
  expect(parseTables(text)).toEqual(['rab12x', 'r00000'])
})
