// Which of the forms that we speak does the client like best?
import { Fault } from '../../../lib/fault.ts'

export type AnswerForm =
  | { readonly form: 'json' }
  /** `version` is meta.k8s.io's. */
  | { readonly form: 'table'; readonly version: 'v1' | 'v1beta1' }
  | { readonly form: 'partial'; readonly version: 'v1' | 'v1beta1' }

interface MediaRange {
  readonly type: string
  readonly parameters: Readonly<Record<string, string>>
}

/** Media ranges in the order of preference; q-values are honoured, ties stay in the order written. */
export function parseAccept(accept: string | undefined): MediaRange[] {
  return (accept ?? '*/*')
    .split(',')
    .slice(0, 32)
    .map(part => {
      const [type = '', ...rest] = part.split(';').map(each => each.trim())
      const parameters = Object.fromEntries(
        rest.map(each => [each.split('=')[0]!.toLowerCase(), each.split('=').slice(1).join('=')]),
      )
      return { type: type.toLowerCase(), parameters, quality: Number(parameters['q'] ?? 1) }
    })
    .filter(range => range.quality > 0)
    .sort((a, b) => b.quality - a.quality)
}

/** The form of an answer that holds objects. Faults with `not_acceptable`. */
export function chooseForm(accept: string | undefined): AnswerForm {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type !== 'application/json' && type !== 'application/*' && type !== '*/*' && type !== '') continue
    const { as, g, v } = parameters
    if (as === undefined) return { form: 'json' }
    if (g !== 'meta.k8s.io' || (v !== 'v1' && v !== 'v1beta1')) continue
    if (as === 'Table') return { form: 'table', version: v }
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList')
      return { form: 'partial', version: v }
  }
  throw new Fault(
    'not_acceptable',
    'accept-unsupported',
    `answer as '${accept}': not one of the forms spoken`,
    {
      hint: 'accept application/json',
    },
  )
}

/** The version of aggregated discovery that the client prefers over the plain lists, if any. */
export function chooseDiscovery(accept: string | undefined): 'v2' | 'v2beta1' | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type !== 'application/json' && type !== '*/*') continue
    const { as, g, v } = parameters
    if (as === undefined) return undefined
    if (as === 'APIGroupDiscoveryList' && g === 'apidiscovery.k8s.io' && (v === 'v2' || v === 'v2beta1'))
      return v
  }
  return undefined
}

/** The form in which the client likes OpenAPI v2 best. Faults with `not_acceptable`. */
export function chooseOpenApiV2(accept: string | undefined): 'json' | 'protobuf' {
  for (const { type } of parseAccept(accept)) {
    if (/^application\/com\.github\.proto-openapi\.spec\.v2[@.]v1\.0\+protobuf$/.test(type)) return 'protobuf'
    if (['application/json', 'application/*', '*/*', ''].includes(type)) return 'json'
  }
  const message = `answer as '${accept}': OpenAPI is not spoken in this form`
  throw new Fault('not_acceptable', 'openapi-form-unsupported', message, { hint: 'accept application/json' })
}
