// A Kafka client of one connection: frames out, frames in, nothing decided for its user.
// Promises: each request's promise resolves with its answer or rejects when the connection is gone; nothing is retried.
// Does not know: brokers, retries, what the messages mean.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { InputOf, ValueOf } from '../../src/base/schema.ts'
import type { AnyApi } from '../../src/wire/kafka/api-table.ts'
import { decodeResponse, encodeRequest, FrameCutter, responseCorrelationId } from '../../src/wire/kafka/frame.ts'

/** The connection ended with the request unanswered: nobody knows whether it was done. */
export class ConnectionGone extends Error {
  override readonly name = 'ConnectionGone'
}

interface Waiting {
  answer(frame: Buffer): void
  gone(): void
}

export class WireClient {
  private readonly socket: Socket
  private readonly cutter = new FrameCutter(200 * 1024 * 1024)
  private readonly waiting = new Map<number, Waiting>()
  private readonly clientId: string
  private nextCorrelationId = 1
  isGone = false

  private constructor(socket: Socket, clientId: string) {
    this.socket = socket
    this.clientId = clientId
    socket.setNoDelay(true)
    socket.on('data', (chunk) => {
      for (const frame of this.cutter.push(chunk)) {
        const id = responseCorrelationId(frame)
        this.waiting.get(id)?.answer(frame)
        this.waiting.delete(id)
      }
    })
    socket.on('error', () => this.end())
    socket.on('close', () => this.end())
  }

  static async open(address: string, clientId: string): Promise<WireClient> {
    const [host, port] = address.split(':')
    const socket = connect(Number(port), host)
    await once(socket, 'connect')
    return new WireClient(socket, clientId)
  }

  send<A extends AnyApi>(api: A, version: number, body: InputOf<A['request']>): Promise<ValueOf<A['response']>> {
    if (this.isGone) return Promise.reject(new ConnectionGone(`${api.name}: the connection is gone`))
    const id = this.nextCorrelationId++
    for (const chunk of encodeRequest(api, version, id, this.clientId, body)) this.socket.write(chunk)
    return new Promise((resolve, reject) => {
      this.waiting.set(id, {
        answer: (frame) => resolve(decodeResponse(api, version, frame)),
        gone: () => reject(new ConnectionGone(`${api.name}: the connection went while it was under way`)),
      })
    })
  }

  end(): void {
    this.isGone = true
    this.socket.destroy()
    for (const { gone } of this.waiting.values()) gone()
    this.waiting.clear()
  }
}
