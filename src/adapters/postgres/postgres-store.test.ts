import { testDatabase } from '../../../test/support/postgres.ts'
import { storeContract } from '../../core/store.contract.ts'

storeContract('PostgresStore', testDatabase)
