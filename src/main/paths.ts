import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout or the installed package: where package.json, migrations and examples are. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
/** What people run. */
export const LAUNCHER = join(ROOT, 'bothy')
export const PROGRAM = fileURLToPath(new URL('cli.ts', import.meta.url))

/** What lies where below a data folder. */
export const dataPaths = (dataDir: string) => ({
  /** Keys, certificates: the control plane's. */
  server: join(dataDir, 'server'),
  /** The runner's identity. */
  runner: join(dataDir, 'runner'),
  runnerConfig: join(dataDir, 'runner.yaml'),
  /** Pool, images, disks. */
  host: join(dataDir, 'host'),
  /** What governors saw and decided, if the runner is to record it. */
  governors: join(dataDir, 'governors.jsonl'),
  archives: join(dataDir, 'archives'),
  /** Who holds it is the `bothy up` of this folder; `bothy down` talks to it. */
  control: join(dataDir, 'up.sock'),
})
