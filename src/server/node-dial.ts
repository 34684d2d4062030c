// Outgoing connections of the command line's clients: node:net behind a few verbs.
// Promises: a connection that cannot be made, or takes too long, is a NetError in one line.
// Does not know: protocols. The broker itself dials nobody.

import net from 'node:net'
import { NetError } from '../base/world.ts'
import { printAddress, type Address } from './address.ts'

export interface Dialled {
  onData(take: (chunk: Buffer) => void): void
  /** Called once, whoever closed. */
  onClose(done: () => void): void
  write(chunks: readonly Uint8Array[]): void
  close(): void
}

export function dial(to: Address, timeoutMs: number): Promise<Dialled> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: to.host, port: to.port, noDelay: true, timeout: timeoutMs })
    const fail = (why: string): void => {
      socket.destroy()
      reject(new NetError(`${printAddress(to)} ${why}`))
    }
    socket.once('timeout', () => fail(`does not answer within ${timeoutMs} ms`))
    socket.once('error', (error: NodeJS.ErrnoException) => fail(reasonOf(error)))
    socket.once('connect', () => {
      socket.removeAllListeners('timeout')
      socket.removeAllListeners('error')
      socket.setTimeout(0)
      // 'close' follows and tells the owner.
      socket.on('error', () => {})
      resolve(dialled(socket))
    })
  })
}

function dialled(socket: net.Socket): Dialled {
  return {
    onData: (take) => void socket.on('data', take),
    onClose: (done) => void socket.once('close', () => done()),
    write: (chunks) => {
      socket.cork()
      for (const chunk of chunks) socket.write(chunk)
      socket.uncork()
    },
    close: () => void socket.destroy(),
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  const reasons: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'refuses connections: nothing listens there',
    ENOTFOUND: 'is not a known host',
    EAI_AGAIN: 'is not a known host',
    EHOSTUNREACH: 'cannot be reached',
    ENETUNREACH: 'cannot be reached',
    ECONNRESET: 'hung up',
  }
  return reasons[error.code ?? ''] ?? `cannot be connected to: ${error.message || (error.code ?? 'no reason given')}`
}
