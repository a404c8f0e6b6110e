import { defineConfig } from 'vitest/config'

// Four suites. `default` and `beside` are what `npm test` runs, at the same time; `fault` kills things and takes minutes;
// `vm` emulates a machine with another kernel and takes many.
// Files of one suite run one after another. Those of `default` share the host's kernel (mounts, interfaces, control
// groups), those of `beside` need processes of their own and nothing else of the host.
const BESIDE = [
  'src/{api,cli,client,controllers,core,lib,main,server}/**/*.test.ts',
  'src/adapters/{git,postgres}/**/*.test.ts',
  'test/conformance/**/*.test.ts',
  'scripts/**/*.test.ts',
]
const POSTGRES = 'test/support/setup-postgres.ts'
const HOST = 'test/support/setup-host.ts'
const shared = {
  testTimeout: 60_000,
  hookTimeout: 120_000,
  teardownTimeout: 30_000,
  pool: 'forks' as const,
  chaiConfig: { truncateThreshold: 2000 },
}

export default defineConfig({
  test: {
    fileParallelism: false,
    projects: [
      {
        test: {
          ...shared,
          name: 'default',
          include: ['src/**/*.test.ts', 'test/e2e/**/*.test.ts'],
          exclude: BESIDE,
          globalSetup: [HOST, POSTGRES],
        },
        extends: true,
      },
      { test: { ...shared, name: 'beside', include: BESIDE, globalSetup: [POSTGRES] }, extends: true },
      {
        test: {
          ...shared,
          name: 'fault',
          include: ['test/fault/**/*.test.ts'],
          globalSetup: [HOST, POSTGRES],
        },
        extends: true,
      },
      {
        test: { ...shared, name: 'vm', include: ['test/vm/**/*.test.ts'], globalSetup: [HOST, POSTGRES] },
        extends: true,
      },
    ],
  },
})
