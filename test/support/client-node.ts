// Kubernetes' client library for JavaScript, as its users set it up.
import { KubeConfig } from '@kubernetes/client-node'
import type { ServerFixture } from './server.ts'

/** `url`: another way to the server than the direct one. */
export function kubeConfig(
  { url, pki, tokens }: ServerFixture,
  options: { user?: keyof ServerFixture['tokens']; url?: string } = {},
): KubeConfig {
  const config = new KubeConfig()
  config.loadFromOptions({
    clusters: [
      {
        name: 'c',
        server: options.url ?? url(),
        caData: Buffer.from(pki.ca).toString('base64'),
        skipTLSVerify: false,
      },
    ],
    users: [{ name: 'u', token: tokens[options.user ?? 'ada'] }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u', namespace: 'default' }],
    currentContext: 'x',
  })
  return config
}
