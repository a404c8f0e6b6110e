// Saves a context that comes on standard input; run as the user whose it is (see sudo-user.ts).
import { text } from 'node:stream/consumers'
import type { Context } from '../cli/config/contexts.ts'
import { saveContext } from '../cli/config/file.ts'

const { path, context } = JSON.parse(await text(process.stdin)) as { path: string; context: Context }
await saveContext(path, context, true)
