// Real sockets: node:net behind base/world's Net.
// Promises: no delay, one writev for all that a turn writes to a connection, errors of a socket only close it; all
// connections are read into one buffer, so that a byte that arrives costs no allocation.
// Does not know: protocols, TLS.

import net from 'node:net'
import { type Connection, type Listener, type Net, NetError } from '../base/world.ts'

/** Above this many unsent bytes write() says false. */
const unsentBytesMark = 1024 * 1024

/** What one read takes at most. One buffer serves all connections: a chunk is used up before the next read. */
const readBytesMax = 256 * 1024

export function nodeNet(): Net {
  const readBuffer = Buffer.allocUnsafeSlow(readBytesMax)
  return {
    listen: (at, accept) =>
      new Promise((resolve, reject) => {
        const server = net.createServer({ noDelay: true, pauseOnConnect: true }, (socket) =>
          accept(new NodeConnection(socket, readBuffer)),
        )
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
  #take: (chunk: Buffer) => void = () => {}

  constructor(accepted: net.Socket, readBuffer: Buffer) {
    this.remoteAddress = plainAddress(accepted.remoteAddress)
    this.localHost = plainAddress(accepted.localAddress)
    this.localPort = accepted.localPort ?? 0
    const socket = readingInto(accepted, readBuffer, (chunk) => this.#take(chunk))
    this.#socket = socket
    // A reset peer is an ordinary end: 'close' follows and tells the owner.
    socket.on('error', () => {})
  }

  onData(take: (chunk: Buffer) => void): void {
    this.#take = take
    this.#socket.resume()
  }

  onClose(done: () => void): void {
    this.#socket.once('close', () => done())
  }

  write(chunks: readonly Uint8Array[], sent?: () => void): boolean {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return true
    if (!this.#isCorked) {
      // Ticks run when all promise reactions of this turn have: what they all write leaves as one writev.
      this.#isCorked = true
      socket.cork()
      process.nextTick(uncork, this)
    }
    const last = chunks.length - 1
    for (let index = 0; index < last; index++) socket.write(chunks[index])
    if (last >= 0) socket.write(chunks[last], sent)
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

/** What net.Socket takes and gives beyond its types: the handle that a socket owns. */
interface Handle {
  reading: boolean
}

/**
 * The same connection as a socket that reads into `buffer` (net's `onread`), which a server's own sockets cannot be
 * asked for: there every read is a fresh 64 KiB buffer, and V8 starts a full collection for each 64 MiB of them. The
 * handle moves from the accepted socket to the new one. Where a later Node has no such handle, it is read as it came.
 */
function readingInto(accepted: net.Socket, buffer: Buffer, take: (chunk: Buffer) => void): net.Socket {
  const owner = accepted as unknown as { _handle: Handle | null }
  const handle = owner._handle
  if (handle === null || typeof handle !== 'object' || !('useUserBuffer' in handle)) {
    return accepted.on('data', take).pause()
  }
  owner._handle = null
  handle.reading = false
  const onread: net.OnReadOpts = {
    buffer,
    callback: (bytes, into) => {
      take((into as Buffer).subarray(0, bytes))
      return true
    },
  }
  return new net.Socket({ handle, onread, readable: true, writable: true } as net.SocketConstructorOpts)
}

const uncork = (connection: NodeConnection): void => connection.uncork()

/** IPv4 as people write it, also when it came through an IPv6 socket. */
function plainAddress(address: string | undefined): string {
  return address?.startsWith('::ffff:') ? address.slice(7) : (address ?? '')
}
