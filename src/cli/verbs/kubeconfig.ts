import type { Command } from 'commander'
import { type Invocation, withExamples, withServer } from '../invocation.ts'
import { withOutput } from '../output/option.ts'

export interface KubeconfigOptions {
  readonly context?: string
  readonly namespace?: string
  /** True without FILE. */
  readonly write?: string | true
  readonly use?: boolean
  readonly output: 'yaml' | 'json'
}

export function addKubeconfig(program: Command, invocation: Invocation): void {
  const command = program
    .command('kubeconfig')
    .description(
      'Print a kubeconfig, so that kubectl works on what is here.\n\n' +
        'There is no token in it: kubectl asks this program for the one of the context. --write puts it into the ' +
        'kubeconfig that kubectl uses, where everything else stays as it is.',
    )
    .option('--write [file]', "add it to FILE; default: the first of $KUBECONFIG, else '~/.kube/config'")
    .option('--use', 'with --write, make it the current context even if there is one')
  withExamples(
    withServer(withOutput(command, ['yaml', 'json'])),
    'bothy kubeconfig --write --use && kubectl get environments',
    'bothy kubeconfig > bothy.kubeconfig     # then: kubectl --kubeconfig bothy.kubeconfig …',
    'bothy kubeconfig --context work --namespace team --write',
  )
  command.action(async (options: KubeconfigOptions) => {
    const { runKubeconfig } = await import('./kubeconfig-run.ts')
    await runKubeconfig(invocation.deps, options)
  })
}
