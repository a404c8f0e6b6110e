import { afterAll, beforeAll } from 'vitest'
import { type GatewayFixture, openGateway } from '../../test/support/gateway.ts'
import { openExec } from '../client/open-exec.ts'
import { execContract } from '../core/exec.contract.ts'

let fixture: GatewayFixture
beforeAll(async () => {
  fixture = await openGateway()
})
afterAll(() => fixture.close())

execContract(
  'client and gateway',
  async () => async (request, signal) => openExec(await fixture.grant('exec'), request, signal),
)
