// Listeners: an address that accepts connections, and the conversations that came of them.
// Promises: drain() accepts nothing new, lets what is under way be answered, and ends every connection within its time.
// Does not know: protocols, the broker. A conversation is anything that can be drained and cut.

import type { Connection, World } from '../base/world.ts'
import type { Address } from './address.ts'

export interface Drainable {
  /** Answers what is under way, then closes; resolves when the connection is gone. */
  drain(timeoutMs: number): Promise<void>
  destroy(): void
}

export interface OpenListener {
  readonly host: string
  readonly port: number
  /** Stops accepting, then drains. */
  drain(timeoutMs: number): Promise<void>
  /** Stops accepting and cuts every connection. */
  destroy(): void
}

/** Most connections of one listener: each costs a file descriptor and a few KiB. */
const connectionsMax = 10_000

export async function openListener(
  world: World,
  at: Address,
  converse: (connection: Connection) => Drainable,
): Promise<OpenListener> {
  const conversations = new Set<Drainable>()
  let isClosing = false
  const listener = await world.net.listen(at, (connection) => {
    if (isClosing || conversations.size >= connectionsMax) {
      world.trace.count('connections.refused')
      connection.destroy()
      return
    }
    world.trace.count('connections.accepted')
    const conversation = converse(connection)
    conversations.add(conversation)
    connection.onClose(() => void conversations.delete(conversation))
  })
  const stop = (): void => {
    if (isClosing) return
    isClosing = true
    void listener.close()
  }
  return {
    host: listener.host,
    port: listener.port,
    async drain(timeoutMs) {
      stop()
      await Promise.all([...conversations].map((conversation) => conversation.drain(timeoutMs)))
    },
    destroy() {
      stop()
      for (const conversation of conversations) conversation.destroy()
    },
  }
}
