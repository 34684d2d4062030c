// Real sockets: node:net behind base/world's Net.
// Promises: no delay, one writev for all that a turn writes to a connection, errors of a socket only close it.
// Does not know: protocols, TLS.

import net from 'node:net'
import { type Connection, type Listener, type Net, NetError } from '../base/world.ts'

/** Above this many unsent bytes write() says false. */
const unsentBytesMark = 1024 * 1024

export function nodeNet(): Net {
  return {
    listen: (at, accept) =>
      new Promise((resolve, reject) => {
        const server = net.createServer({ noDelay: true }, (socket) => accept(new NodeConnection(socket)))
        const place = 'path' in at ? at.path : `${at.host}:${at.port}`
        server.once('error', (error) => reject(netError(error, place)))
        const ready = (): void => {
          server.removeAllListeners('error')
          // An accept can fail later, out of file descriptors: the listener goes on.
          server.on('error', () => {})
          resolve(listenerOf(server))
        }
        if ('path' in at) server.listen({ path: at.path, backlog: 1024 }, ready)
        else server.listen({ host: at.host, port: at.port, backlog: 1024 }, ready)
      }),
  }
}

function netError(error: NodeJS.ErrnoException, place: string): NetError {
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: 'is already in use',
    EACCES: 'may not be opened by this user',
    EADDRNOTAVAIL: 'is not an address of this machine',
    ENOTFOUND: 'is not a known host',
  }
  return new NetError(`${place} ${why[error.code ?? ''] ?? `cannot be listened on: ${error.message}`}`)
}

function listenerOf(server: net.Server): Listener {
  const address = server.address()
  const isTcp = typeof address === 'object' && address !== null
  return {
    host: isTcp ? address.address : String(address),
    port: isTcp ? address.port : 0,
    close: () => {
      // Node calls back only when all connections have ended; they are not ours to wait for.
      server.close()
      return Promise.resolve()
    },
  }
}

class NodeConnection implements Connection {
  readonly remoteAddress: string
  readonly localHost: string
  readonly localPort: number
  readonly #socket: net.Socket
  #isCorked = false

  constructor(socket: net.Socket) {
    this.#socket = socket
    this.remoteAddress = plainAddress(socket.remoteAddress)
    this.localHost = plainAddress(socket.localAddress)
    this.localPort = socket.localPort ?? 0
    // A reset peer is an ordinary end: 'close' follows and tells the owner.
    socket.on('error', () => {})
  }

  onData(take: (chunk: Buffer) => void): void {
    this.#socket.on('data', take)
  }

  onClose(done: () => void): void {
    this.#socket.once('close', () => done())
  }

  write(chunks: readonly Uint8Array[]): boolean {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return true
    if (!this.#isCorked) {
      // Ticks run when all promise reactions of this turn have: what they all write leaves as one writev.
      this.#isCorked = true
      socket.cork()
      process.nextTick(uncork, this)
    }
    for (const chunk of chunks) socket.write(chunk)
    return socket.writableLength < unsentBytesMark
  }

  uncork(): void {
    this.#isCorked = false
    this.#socket.uncork()
  }

  onDrain(task: () => void): void {
    this.#socket.on('drain', task)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  get unsentBytes(): number {
    return this.#socket.writableLength
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

const uncork = (connection: NodeConnection): void => connection.uncork()

/** IPv4 as people write it, also when it came through an IPv6 socket. */
function plainAddress(address: string | undefined): string {
  return address?.startsWith('::ffff:') ? address.slice(7) : (address ?? '')
}
