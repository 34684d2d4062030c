// A TCP proxy before a Kafka broker that keeps each request with its answer.
// Promises: bytes are kept as client and broker sent them; towards the client the broker's port becomes the proxy's, so
// that every connection comes through here.
// Does not know: which client drives it, what becomes of the exchanges.

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { apiByKey } from '../../src/wire/kafka/api-table.ts'
import { FrameCutter } from '../../src/wire/kafka/frame.ts'

/** One request frame and its response frame, both without their length. */
export interface Exchange {
  readonly request: Buffer
  response: Buffer | undefined
}

export interface Recorder {
  readonly address: string
  readonly exchanges: Exchange[]
  close(): Promise<void>
}

const frameBytesMax = 100 * 1024 * 1024

export async function startRecorder(broker: { host: string; port: number }): Promise<Recorder> {
  const exchanges: Exchange[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(broker.port, broker.host)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    relay(client, upstream, exchanges, broker, (server.address() as AddressInfo).port)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    exchanges,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function relay(
  client: Socket,
  upstream: Socket,
  exchanges: Exchange[],
  broker: { host: string; port: number },
  proxyPort: number,
): void {
  const requests = new FrameCutter(frameBytesMax)
  const responses = new FrameCutter(frameBytesMax)
  const waiting = new Map<number, Exchange>()
  client.on('data', (chunk) => {
    for (const request of requests.push(Buffer.from(chunk))) {
      const exchange: Exchange = { request: Buffer.from(request), response: undefined }
      if (apiByKey.has(request.readInt16BE(0))) exchanges.push(exchange)
      waiting.set(request.readInt32BE(4), exchange)
      upstream.write(framed(request))
    }
  })
  upstream.on('data', (chunk) => {
    for (const response of responses.push(Buffer.from(chunk))) {
      const exchange = waiting.get(response.readInt32BE(0))
      if (exchange !== undefined) exchange.response = Buffer.from(response)
      client.write(framed(throughProxy(response, broker, proxyPort)))
    }
  })
}

function framed(frame: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(frame.length)
  return Buffer.concat([length, frame])
}

/** In Kafka's answers a broker is its host's text, then its port as an int32. */
function throughProxy(response: Buffer, broker: { host: string; port: number }, proxyPort: number): Buffer {
  const place = Buffer.concat([Buffer.from(broker.host), Buffer.alloc(4)])
  place.writeInt32BE(broker.port, broker.host.length)
  const changed = Buffer.from(response)
  for (let at = changed.indexOf(place); at >= 0; at = changed.indexOf(place, at + 1)) {
    changed.writeInt32BE(proxyPort, at + broker.host.length)
  }
  return changed
}
