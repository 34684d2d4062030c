// A Kafka connection byte by byte: the traps of ApiVersions, what is refused by closing, hostile bytes, order.
// Promises: golden bytes where clients were seen to stumble.
// Does not know: a real broker; sessions are made up.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { apis } from '../../wire/kafka/api-table.ts'
import { decodeResponse, encodeRequest, responseCorrelationId } from '../../wire/kafka/frame.ts'
import type { Produced, SessionIdentity } from '../../broker/door.ts'
import { StubConnection, StubWorld } from '../stub.contract.ts'
import { advertised } from './apis.ts'
import { clientIdCharsMax } from './call.ts'
import { openKafka } from './connection.ts'
import { agreeingSession, batchOf, offsetOf, StubClient } from './stub-session.contract.ts'

const hello = { clientSoftwareName: 'stub', clientSoftwareVersion: '1.0' }

function start() {
  const world = new StubWorld()
  return { world, client: new StubClient(world, agreeingSession()) }
}

/** A request head of version 1: key, version, correlation id, client id 'c'. */
const head = (key: number, version: number): Buffer => {
  const bytes = Buffer.from([0, 0, 0, 11, 0, key, 0, 0, 0, 0, 0, 9, 0, 1, 0x63])
  bytes.writeInt16BE(version, 6)
  return bytes
}

test('an ApiVersions newer than ours is answered in version 0, with error 35 and the versions to come back with', () => {
  const { client } = start()
  client.connection.send(head(18, 99))
  expect(Buffer.concat(client.connection.written).toString('hex')).toBe(
    // length 16, correlation id 9, error 35, one API: key 18, 0 to 5. No tags, no throttle time.
    '00000010' + '00000009' + '0023' + '00000001' + '0012' + '0000' + '0005',
  )
  expect(client.connection.state).toBe('open')
})

test('ApiVersions is answered with response head 0 in flexible versions too (KIP-511)', async () => {
  const { client } = start()
  client.send(apis.apiVersions, 3, hello)
  const frame = client.frames()[0]
  // After the correlation id comes the error at once, then the compact length of the array: no tags between.
  expect(frame.readInt32BE(0)).toBe(1)
  expect(frame.readInt16BE(4)).toBe(0)
  expect(frame.readUInt8(6)).toBe(advertised.length + 1)
})

test('ApiVersions says which features are finalised: none, with an epoch that Java clients do not ignore', async () => {
  const { client } = start()
  const answer = await client.ask(apis.apiVersions, 4, hello)
  expect(answer).toMatchObject({ errorCode: 0, finalizedFeatures: [], finalizedFeaturesEpoch: 0 })
  expect(answer?.apiKeys).toEqual(advertised)
})

test.each(['', '-stub', 'stub-', 'st ub', 'stüb'])('a client software name %j is an invalid request', async (name) => {
  const { client } = start()
  const answer = await client.ask(apis.apiVersions, 3, { ...hello, clientSoftwareName: name })
  expect(answer).toMatchObject({ errorCode: 42, apiKeys: [] })
})

test('a client that was led to the wrong broker is told to start over (KIP-1242)', async () => {
  const { client } = start()
  const ask = async (expected: { clusterId?: string; nodeId?: number }): Promise<number | undefined> =>
    (await client.ask(apis.apiVersions, 5, { ...hello, ...expected }))?.errorCode
  expect(await ask({})).toBe(0)
  expect(await ask({ clusterId: 'c-1', nodeId: 1 })).toBe(0)
  expect(await ask({ clusterId: 'elsewhere' })).toBe(0)
  expect(await ask({ clusterId: 'elsewhere', nodeId: 1 })).toBe(129)
  expect(await ask({ clusterId: 'c-1', nodeId: 2 })).toBe(129)
})

test.each([
  ['a key that does not exist', 77, 0],
  ['an API that is not built', 24, 0],
  ['Produce 2, advertised and refused', 0, 2],
  ['a version above ours', 3, 99],
  ['a negative version', 3, -1],
])('%s costs the connection', async (_what, key, version) => {
  const { world, client } = start()
  client.connection.send(head(key, version))
  await world.settle()
  expect(client.connection.written).toHaveLength(0)
  expect(client.connection.state).toBe('ended')
  expect(world.trace.counters().get('kafka.requests.unsupported')).toBe(1)
  expect(world.trace.counters().get('kafka.connections.hostile')).toBe(1)
  expect(world.lines).toHaveLength(1)
})

test('a client id longer than the limit costs the connection', async () => {
  const { world, client } = start()
  const send = (chars: number): void =>
    client.connection.send(Buffer.concat(encodeRequest(apis.apiVersions, 0, 1, 'c'.repeat(chars), {})))
  send(clientIdCharsMax)
  await world.settle()
  expect(client.frames()).toHaveLength(1)
  send(clientIdCharsMax + 1)
  await world.settle()
  expect(client.connection.state).toBe('ended')
})

test('requests that come byte by byte are answered like whole ones', async () => {
  const { world, client } = start()
  const requests = [
    ...encodeRequest(apis.apiVersions, 3, 1, null, hello),
    ...encodeRequest(apis.metadata, 12, 2, 'c', { topics: null }),
  ]
  for (const byte of Buffer.concat(requests)) client.connection.send(Buffer.from([byte]))
  await world.settle()
  const frames = client.frames()
  expect(frames.map((frame) => responseCorrelationId(frame))).toEqual([1, 2])
  expect(decodeResponse(apis.metadata, 12, frames[1]).topics[0].name).toBe('t')
})

test('produce requests are begun in their order and answered in it; a fetch between them waits', async () => {
  const world = new StubWorld()
  const begun: string[] = []
  const waiting: ((produced: Produced) => void)[] = []
  const session = agreeingSession({
    produce: ({ partition }) => {
      begun.push(`produce ${partition}`)
      return new Promise((resolve) => waiting.push(resolve))
    },
    listTopics: () => {
      begun.push('metadata')
      return []
    },
  })
  const client = new StubClient(world, session)
  const send = (index: number): number =>
    client.send(apis.produce, 9, {
      acks: -1,
      topicData: [{ name: 't', partitionData: [{ index, records: batchOf(70) }] }],
    })
  send(0)
  send(1)
  client.send(apis.metadata, 9, { topics: null })
  send(2)
  expect(begun).toEqual(['produce 0', 'produce 1'])
  const produced = { baseOffset: offsetOf(1), logAppendTimeMs: -1, logStart: offsetOf(0) }
  waiting[1](produced)
  await world.settle()
  expect(client.frames()).toHaveLength(0)
  waiting[0](produced)
  await world.settle()
  expect(begun).toEqual(['produce 0', 'produce 1', 'metadata', 'produce 2'])
  waiting[2](produced)
  await world.settle()
  expect(client.frames().map((frame) => responseCorrelationId(frame))).toEqual([1, 2, 3, 4])
})

test('every client id of a connection has its session, with the address it came from', async () => {
  const world = new StubWorld()
  const identities: SessionIdentity[] = []
  const kafka = openKafka({
    world,
    openSession: (identity) => {
      identities.push(identity)
      return agreeingSession()
    },
  })
  const connection = new StubConnection()
  kafka.converse(connection)
  for (const clientId of ['a', 'a', 'b', null]) {
    connection.send(Buffer.concat(encodeRequest(apis.metadata, 9, 1, clientId, { topics: [] })))
    await world.settle()
  }
  expect(identities.map(({ clientId }) => clientId)).toEqual(['a', 'b', ''])
  expect(identities[0]).toEqual({
    vhost: '/',
    principal: 'User:ANONYMOUS',
    clientId: 'a',
    address: '192.0.2.7',
  })
})

test('clients are told the address they connected to, or the one that is advertised', async () => {
  const world = new StubWorld()
  const told = async (advertise?: { host: string; port: number }): Promise<unknown> => {
    const openSession = () => agreeingSession()
    const kafka = openKafka({ world, openSession, ...(advertise === undefined ? {} : { advertise }) })
    const client = new StubClient(world, agreeingSession(), kafka.converse)
    const answer = await client.ask(apis.metadata, 9, { topics: [] })
    return [answer?.brokers[0].host, answer?.brokers[0].port]
  }
  expect(await told()).toEqual(['192.0.2.1', 9092])
  expect(await told({ host: 'broker.example', port: 19092 })).toEqual(['broker.example', 19092])
})

/** Bytes a stranger might send: heads of real APIs with noise behind them, absurd lengths, noise alone. */
const noise = fc.uint8Array({ maxLength: 200 })
const apiKeys = fc.constantFrom(...advertised.map(({ apiKey }) => apiKey))
const request = fc
  .record({
    key: apiKeys,
    version: fc.integer({ min: -1, max: 20 }),
    body: noise,
    lie: fc.integer({ min: -3, max: 3 }),
  })
  .map(({ key, version, body, lie }) => {
    const bytes = Buffer.concat([head(key, version), body])
    bytes.writeInt32BE(Math.max(0, bytes.length - 4 + lie), 0)
    return bytes
  })
const hostile = fc.array(fc.oneof(noise, request), { maxLength: 6 })

test('hostile bytes never break us: they are answered or cost their sender the connection', async () => {
  await fc.assert(
    fc.asyncProperty(hostile, fc.boolean(), async (chunks, bytewise) => {
      const { world, client } = start()
      for (const chunk of chunks) {
        if (bytewise) for (const byte of chunk) client.connection.send(Buffer.from([byte]))
        else client.connection.send(chunk)
      }
      await world.settle()
      client.frames()
      expect(world.trace.counters().get('kafka.requests.failed')).toBeUndefined()
      client.connection.leave()
      await world.settle()
      // Whatever it was, nothing is kept for a peer that left but the goodbye that was to be waited for.
      await world.pass(10_000)
      expect(world.timers).toBe(0)
    }),
    { numRuns: 300 },
  )
})

test('a frame that announces more than a frame may hold costs the connection before it is waited for', async () => {
  for (const length of [-1, 0x7fff_ffff, 100 * 1024 * 1024 + 1]) {
    const { world, client } = start()
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(length)
    client.connection.send(bytes)
    await world.settle()
    expect(client.connection.state).toBe('ended')
  }
})
