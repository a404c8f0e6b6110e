// Paths that are no resources, and who may ask for them: everybody who is known here.
const READABLE = [
  '/api',
  '/api/*',
  '/apis',
  '/apis/*',
  '/openapi/*',
  '/version',
  '/metrics',
  '/healthz',
  '/livez',
  '/readyz',
  '/whoami',
  '/ca.pem',
  '/.well-known/jwks.json',
]

export const PATH_RULES = [{ verbs: ['get'], nonResourceURLs: READABLE }]

export function mayAskPath(path: string, verb: string): boolean {
  return verb === 'get' && READABLE.some(each => isWithin(path, each))
}

function isWithin(path: string, pattern: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern
}
