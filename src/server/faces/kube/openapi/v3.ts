// OpenAPI v3, a document for each group and version: what `kubectl explain` prints, and what tells clients that the
// server validates by itself.
import { createHash } from 'node:crypto'
import { GROUP_VERSIONS } from '../discovery.ts'
import { rootOf, type Served } from '../served.ts'
import { pathsOf } from './paths.ts'
import { componentsOf } from './schemas.ts'

/** Everything served under one path, with a hash that changes when it does. */
export interface OpenApiDocument {
  readonly text: string
  readonly hash: string
}

const made = new Map<string, OpenApiDocument>()

/** The document of one group and version. Made when first asked for: nobody else should wait for it. */
export function groupDocument(wanted: Pick<Served, 'group' | 'version'>): OpenApiDocument {
  const root = rootOf(wanted)
  const known = made.get(root)
  if (known !== undefined) return known
  const text = JSON.stringify({
    openapi: '3.0.0',
    info: { title: 'Bothy', version: wanted.version },
    paths: pathsOf([root]),
    components: { schemas: componentsOf([root]) },
  })
  const document = { text, hash: createHash('sha256').update(text).digest('hex').slice(0, 32) }
  made.set(root, document)
  return document
}

/** `/openapi/v3`: where the documents are. */
export function openApiIndex(): object {
  const paths = GROUP_VERSIONS.map(each => {
    const root = rootOf(each)
    return [root.slice(1), { serverRelativeURL: `/openapi/v3${root}?hash=${groupDocument(each).hash}` }]
  })
  return { paths: Object.fromEntries(paths) }
}
