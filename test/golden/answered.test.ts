// Our broker given the very bytes that real clients sent.
// Promises: each request in a version we advertise is answered, in that version's form; the connection lives on.
// Does not know: what the right answer is (test/e2e and test/compat do).

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { apiByKey, apis } from '../../src/wire/kafka/api-table.ts'
import { decodeRequestHead, decodeResponse, encodeRequest, FrameCutter } from '../../src/wire/kafka/frame.ts'
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { startServer, type RunningServer } from '../../src/server/start.ts'
import { readFixtures } from './fixture.ts'

const fixtures = readFixtures()
const frameBytesMax = 10 * 1024 * 1024

/** A connection that sends frames as they are. */
class RawConnection {
  private readonly socket: Socket
  private readonly cutter = new FrameCutter(frameBytesMax)
  private readonly frames: Buffer[] = []
  private arrived = (): void => undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.frames.push(...this.cutter.push(chunk))
      this.arrived()
    })
    socket.on('close', () => this.arrived())
  }

  static async open(broker: RunningServer): Promise<RawConnection> {
    const socket = connect(broker.kafka.port, broker.kafka.host)
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  send(request: Buffer): void {
    const length = Buffer.alloc(4)
    length.writeInt32BE(request.length)
    this.socket.write(Buffer.concat([length, request]))
  }

  async next(): Promise<Buffer> {
    while (this.frames.length === 0) {
      if (this.socket.destroyed) throw new Error('the broker ended the connection')
      await new Promise<void>((resolve) => (this.arrived = resolve))
    }
    return this.frames.shift() as Buffer
  }

  end(): void {
    this.socket.destroy()
  }
}

describe('a broker of ours', () => {
  let broker: RunningServer
  const advertised = new Map<number, readonly [number, number]>()

  beforeAll(async () => {
    broker = await startServer({ logLevel: 'silent' })
    const connection = await RawConnection.open(broker)
    const ask = { clientSoftwareName: 'golden', clientSoftwareVersion: '1' }
    connection.send(Buffer.concat(encodeRequest(apis.apiVersions, 3, 1, 'golden', ask)).subarray(4))
    const { apiKeys } = decodeResponse(apis.apiVersions, 3, await connection.next())
    for (const { apiKey, minVersion, maxVersion } of apiKeys) advertised.set(apiKey, [minVersion, maxVersion])
    connection.end()
  })
  afterAll(() => broker.close())

  test('speaks every version that a real client chose with a real Kafka', () => {
    const missing = fixtures.flatMap(({ name, request }) => {
      const { apiKey, apiVersion } = decodeRequestHead(request)
      const [min, max] = advertised.get(apiKey) ?? [Infinity, -Infinity]
      return apiVersion >= min && apiVersion <= max ? [] : [name]
    })
    expect(missing).toEqual([])
  })

  test.each(fixtures)('answers $name', async ({ request }) => {
    const { apiKey, apiVersion, correlationId } = decodeRequestHead(request)
    const api = apiByKey.get(apiKey)
    if (api === undefined || !advertised.has(apiKey)) return
    const connection = await RawConnection.open(broker)
    try {
      connection.send(request)
      // acks=0 has no answer: then the one to what follows comes at once.
      const isProduce = apiKey === apis.produce.key
      const probe = Buffer.concat(
        encodeRequest(apis.metadata, 4, -7, null, { topics: [], allowAutoTopicCreation: false }),
      )
      if (isProduce) connection.send(probe.subarray(4))
      const answer = await connection.next()
      const answered = answer.readInt32BE(0)
      if (isProduce && answered === -7) return
      expect(answered).toBe(correlationId)
      expect(() => decodeResponse(api, apiVersion, answer)).not.toThrow()
      connection.send(probe.subarray(4))
      expect((await connection.next()).readInt32BE(0)).toBe(-7)
    } finally {
      connection.end()
    }
  })
})
