import type { Command } from 'commander'
import { connectOptions, type Invocation, withExamples, withServer, withSession } from '../invocation.ts'
import type { Format } from '../output/formats.ts'
import { withOutput } from '../output/option.ts'

export function addEnv(program: Command, invocation: Invocation): void {
  const env = program
    .command('env')
    .description('Create, fork, list, start, stop and delete environments.')
    .enablePositionalOptions()
  withExamples(
    env,
    'bothy env create https://git.example.com/team/app.git',
    'bothy env list',
    'bothy env stop calm-otter && bothy env start calm-otter',
  )
  addCreate(env, invocation)
  addFork(env, invocation)
  addList(env, invocation)
  addGet(env, invocation)
  addChange(env, invocation, 'start', 'Start stopped environments; their disks are as they were.')
  addChange(env, invocation, 'stop', 'Stop environments; their disks are kept.')
  addChange(env, invocation, 'delete', 'Delete environments with their disks. There is no way back.')
}

interface CreateOptions {
  readonly empty?: boolean
  readonly name?: string
  readonly class?: string
  readonly image?: string
  readonly ref?: string
  readonly snapshot?: string
  readonly disk?: string
  readonly wait: boolean
  readonly output: Format
}

function addCreate(env: Command, invocation: Invocation): void {
  const command = env
    .command('create')
    .description(
      'Create an environment and wait until it runs.\n\n' +
        'From a git repository it clones; from a local folder it sends the commits that are there ' +
        '(a folder that is no repository is sent as one commit); otherwise it starts empty.',
    )
    .argument('[source]', 'GIT_URL or FOLDER to start from')
    .option('--empty', 'start without files, which is also the default')
    .option('--snapshot <snapshot>', 'start with what this snapshot holds')
    .option('--name <name>', 'default: a random one such as calm-otter')
    .option('--class <class>', "the EnvironmentClass; default: 'small'")
    .option('--image <reference>', "image of its root file system; default: the class's")
    .option('--ref <ref>', 'branch, tag or commit to check out')
    .option('--disk <size>', "size of its disk, such as 40Gi; default: the class's")
    .option('--no-wait', 'return as soon as it is declared, and its files are sent')
  withExamples(
    withServer(withOutput(command)),
    'bothy env create https://git.example.com/team/app.git --ref main',
    'bothy env create git@git.example.com:team/app.git --name app',
    'bothy env create .                                # the commits of this folder',
    'bothy env create --image alpine:3.20 -o name',
  )
  command.action(async (source: string | undefined, options: CreateOptions) => {
    const { runCreate } = await import('./env-create.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runCreate(session, invocation.deps, source, options),
    )
  })
}

function addFork(env: Command, invocation: Invocation): void {
  const command = env
    .command('fork')
    .description(
      'Make an environment that begins with all that another one holds.\n\n' +
        'Files and installed programs are there, processes are not. The other one may run, and goes on; nothing is ' +
        'copied, so it takes no longer for a large disk.',
    )
    .argument('<environment>', 'what to fork')
    .option('--name <name>', 'default: a random one such as calm-otter')
    .option('--class <class>', 'the EnvironmentClass; default: that of the other one')
    .option('--disk <size>', 'size of its disk, such as 40Gi; it never gets smaller')
    .option('--no-wait', 'return as soon as it is declared')
  withExamples(
    withServer(withOutput(command)),
    'bothy env fork calm-otter',
    'bothy env fork calm-otter --name try-it && bothy shell try-it',
  )
  command.action(
    async (
      name: string,
      options: { name?: string; class?: string; disk?: string; wait: boolean; output: Format },
    ) => {
      const { runFork } = await import('./env-create.ts')
      await withSession(invocation, connectOptions(command.opts()), session =>
        runFork(session, invocation.deps, name, options),
      )
    },
  )
}

function addList(env: Command, invocation: Invocation): void {
  const command = env.command('list').alias('ls').description('List the environments of the namespace.')
  withExamples(withServer(withOutput(command)), 'bothy env list', 'bothy env list -o wide')
  command.action(async (options: { output: Format }) => {
    const { runList } = await import('./env-read.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runList(session, invocation.deps, options.output),
    )
  })
}

function addGet(env: Command, invocation: Invocation): void {
  const command = env
    .command('get')
    .description("Show one environment. Why it is as it is: 'bothy explain environment/NAME'.")
    .argument('<environment>', 'its name')
  withExamples(withServer(withOutput(command)), 'bothy env get calm-otter -o yaml')
  command.action(async (name: string, options: { output: Format }) => {
    const { runGet } = await import('./env-read.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runGet(session, invocation.deps, name, options.output),
    )
  })
}

type Change = 'start' | 'stop' | 'delete'

function addChange(env: Command, invocation: Invocation, change: Change, description: string): void {
  const command = env
    .command(change)
    .description(description)
    .argument('<environment...>', 'names')
    .option('--no-wait', 'return as soon as it is asked for')
  withExamples(withServer(withOutput(command)), `bothy env ${change} calm-otter`)
  command.action(async (names: string[], options: { wait: boolean; output: Format }) => {
    const { runChange } = await import('./env-change.ts')
    await withSession(invocation, connectOptions(command.opts()), session =>
      runChange(session, invocation.deps, change, names, options),
    )
  })
}
