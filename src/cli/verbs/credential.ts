import type { Command } from 'commander'
import { type Invocation, withExamples } from '../invocation.ts'

/** Asked by kubectl, hence not among the verbs that help lists. */
export function addCredential(program: Command, invocation: Invocation): void {
  const command = program
    .command('credential', { hidden: true })
    .description(
      "Print a context's token as kubectl wants it (an ExecCredential).\n\n" +
        "What 'bothy kubeconfig' prints makes kubectl call this. KUBERNETES_EXEC_INFO, which kubectl sets, says in " +
        'which version; BOTHY_SERVER and BOTHY_TOKEN are not looked at.',
    )
    .option('--context <context>', 'whose, by its name in the contexts file; default: the current one')
  withExamples(command, 'bothy credential --context local')
  command.action(async (options: { context?: string }) => {
    const { runCredential } = await import('./credential-run.ts')
    await runCredential(invocation.deps, options.context)
  })
}
