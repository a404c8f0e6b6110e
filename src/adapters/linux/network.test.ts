import { expect, test } from 'vitest'
import { parseOwnRules, parseTables } from './network.ts'

test("runners are known by their tables, and nobody else's table is taken for one", () => {
  const text = `table inet filter
table inet bothy_rab12x
table inet bothy_tooLong
table ip bothy_rzzzzz
table inet bothy_r00000
`
  expect(parseTables(text)).toEqual(['rab12x', 'r00000'])
})

test("only a runner's own rules are taken out of docker's chain", () => {
  const text = `table ip filter {
	chain DOCKER-USER { # handle 1
		oifname "btjrab12x*" accept # handle 6
		iifname "btyrab12x*" counter packets 0 bytes 0 accept # handle 5
		iifname "btyrab12y*" accept # handle 4
		iifname "eth0" accept comment "btyrab12x*" # handle 3
	}
}
`
  expect(parseOwnRules(text, 'rab12x')).toEqual(['6', '5'])
})
