import { defineConfig } from 'vitest/config'

// Three suites. `default` is what `npm test` runs; `fault` kills things and takes minutes; `vm` emulates a machine with
// another kernel and takes many.
// Files run one after another: many of them share the host's kernel (mounts, interfaces, cgroups).
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
    globalSetup: ['test/support/global-setup.ts'],
    projects: [
      {
        test: {
          ...shared,
          name: 'default',
          include: [
            'src/**/*.test.ts',
            'test/conformance/**/*.test.ts',
            'test/e2e/**/*.test.ts',
            'scripts/**/*.test.ts',
          ],
        },
        extends: true,
      },
      { test: { ...shared, name: 'fault', include: ['test/fault/**/*.test.ts'] }, extends: true },
      { test: { ...shared, name: 'vm', include: ['test/vm/**/*.test.ts'] }, extends: true },
    ],
  },
})
