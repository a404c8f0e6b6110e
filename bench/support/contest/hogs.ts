// What neighbours do, as programs with a terminal; and how much of it got done.

import { systemClock } from '../../../src/lib/clock.ts'
import { PROJECT } from './compiler-image.ts'
import { type Machine, runIn, type Terminal } from './contestant.ts'

const GROUP_FILE = '/tmp/hog'
const PATIENCE_MS = 2_000

/** Compiles the project over and over, so many files at a time. */
export const compile = (jobs: number): readonly string[] => [
  ...['/bin/sh', '-c'],
  `echo $$ > ${GROUP_FILE}; cp -r ${PROJECT} /tmp/project-$$; cd /tmp/project-$$; while :; do make -s -j${jobs} all; make -s clean; done`,
]

/** Writes and syncs a file over and over. */
export const writeDisk: readonly string[] = [
  ...['/bin/sh', '-c'],
  `echo $$ > ${GROUP_FILE}; while :; do dd if=/dev/zero of=/tmp/big bs=1M count=256 conv=fsync status=none; rm /tmp/big; done`,
]

/** Takes 1.5 GiB of memory and uses all of it, over and over. */
export const eatMemory: readonly string[] = [
  ...['/bin/sh', '-c'],
  `echo $$ > ${GROUP_FILE}; exec perl -e 'my @a; push @a, chr(65 + $_ % 20) x 2**20 for 1 .. 1536; while (1) { for my $i (0 .. $#a) { substr($a[$i], $_ * 4096, 1) = "y" for 0 .. 255 } }'`,
]

/** A program at work in a machine until it is told to stop. */
export interface Hog {
  /** Files compiled so far. */
  readonly done: () => number
  stop(): Promise<void>
}

export async function startHog(machine: Machine, argv: readonly string[]): Promise<Hog> {
  const terminal: Terminal = await machine.open(argv)
  let done = 0
  terminal.output.on('data', (bytes: Buffer) => {
    for (const byte of bytes) if (byte === 0x78) done += 1
  })
  const ended = new Promise(resolve => terminal.output.once('close', resolve))
  return {
    done: () => done,
    async stop() {
      // The whole group of processes, as ^C would: its leader is the shell that the machine was asked for.
      const said = await runIn(machine, ['/bin/sh', '-c', `kill -9 -$(cat ${GROUP_FILE}) && echo ended`])
      if (!said.includes('ended')) throw new Error(`a hog was not stopped: ${said}`)
      terminal.input.end()
      await Promise.race([ended, systemClock.sleep(PATIENCE_MS)])
      await runIn(machine, ['/bin/sh', '-c', 'rm -rf /tmp/project-* /tmp/big'])
    },
  }
}
