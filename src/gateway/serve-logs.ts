import { pipeline } from 'node:stream/promises'
import { CHANNEL } from '../api/channels.ts'
import type { ChannelSocket } from '../client/channel-socket.ts'
import type { Exit } from '../core/exec.ts'
import type { GatewayBackend, LogsRequest } from './gateway-backend.ts'

/** Sends the log until it ends or the client has had enough. */
export async function serveLogs(
  channels: ChannelSocket,
  backend: GatewayBackend,
  environmentUid: string,
  request: LogsRequest,
  signal: AbortSignal,
): Promise<Exit> {
  const lines = await backend.logs(environmentUid, request, signal)
  // Nothing is read from it; its window says that the entrance is open.
  channels.receive(CHANNEL.stdin)
  try {
    await pipeline(lines, channels.send(CHANNEL.stdout), { signal })
  } catch (error) {
    if (!signal.aborted) throw error
    lines.destroy()
  }
  return { code: 0 }
}
