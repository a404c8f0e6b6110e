// The import rule of ARCHITECTURE.md: arrows point down, adapters and controllers never import siblings, only `main/`
// constructs, and each npm package belongs to the folders that wrap it. `npm run check` asserts besides that every
// source file was really read: with a parser that understands none of them, everything would pass.

/** Which layers each layer may import, besides itself. */
const order = {
  lib: [],
  api: ['lib'],
  core: ['lib', 'api'],
  client: ['lib', 'api', 'core'],
  adapters: ['lib', 'api', 'core'],
  controllers: ['lib', 'api', 'core'],
  server: ['lib', 'api', 'core'],
  runner: ['lib', 'api', 'core', 'client'],
  gateway: ['lib', 'api', 'core', 'client'],
  cli: ['lib', 'api', 'core', 'client'],
  main: ['lib', 'api', 'core', 'client', 'adapters', 'controllers', 'server', 'runner', 'gateway', 'cli'],
}

/** Which folders of src/ may import each npm package. A package that is not here may be imported by nobody. */
const owners = {
  '@peculiar/x509': ['server/pki', 'runner'],
  commander: ['cli', 'main'],
  fastify: ['server'],
  jose: ['server', 'gateway', 'client', 'runner'],
  pg: ['adapters/postgres'],
  pino: ['lib'],
  'prom-client': ['lib'],
  ws: ['gateway', 'client', 'server'],
  yaml: ['cli', 'server', 'runner', 'adapters/linux'],
  zod: ['api', 'server', 'client', 'runner', 'gateway', 'cli', 'adapters'],
}

const layers = Object.entries(order).map(([layer, below]) => ({
  name: `${layer}-imports-downwards-only`,
  comment: `src/${layer} may import ${below.join(', ') || 'nothing of ours'}`,
  severity: 'error',
  from: { path: `^src/${layer}/` },
  to: { path: '^src/', pathNot: `^src/(${[layer, ...below].join('|')})/` },
}))

const siblings = ['adapters', 'controllers'].map(layer => ({
  name: `${layer}-never-import-siblings`,
  comment: `what two of them need belongs below src/${layer}`,
  severity: 'error',
  from: { path: `^src/${layer}/([^/]+)/` },
  to: { path: `^src/${layer}/([^/]+)/`, pathNot: `^src/${layer}/$1/` },
}))

const packages = Object.entries(owners).map(([name, folders]) => ({
  name: `${name}-belongs-to-${folders.join('-and-')}`,
  comment: 'wrap it there and import the wrapper',
  severity: 'error',
  from: { path: '^src/', pathNot: `^src/(${folders.join('|')})/` },
  to: { path: `^node_modules/(@types/)?${name}/` },
}))

module.exports = {
  forbidden: [
    ...layers,
    ...siblings,
    ...packages,
    {
      name: 'npm-package-without-owner',
      comment: 'add it to `owners` in .dependency-cruiser.cjs, with the one folder that wraps it',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^node_modules/', pathNot: `^node_modules/(@types/)?(${Object.keys(owners).join('|')})/` },
    },
    {
      name: 'layer-without-order',
      comment: 'a new folder of src/ needs its place in `order`',
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/(${Object.keys(order).join('|')})/` },
      to: {},
    },
    {
      name: 'src-imports-src-only',
      comment: 'tests, benches and scripts are not part of the program',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|scripts|examples)/' },
    },
    {
      name: 'no-circular',
      comment: 'types may go round in a circle, values may not',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'not-resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    parser: 'swc',
    // Type-only imports count: an interface in the wrong layer is in the wrong layer.
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.(test|contract)\\.ts$' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
