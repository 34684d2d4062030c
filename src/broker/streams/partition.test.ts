// One partition through the door, on a store that commits, fails and crashes when told.
// Promises: order, acks, duplicates and recovery as partition.ts says; what a client may send and what not.
// Does not know: protocols, real engines.

import { expect, test } from 'vitest'
import { attributesAt, compressionOf, maxTimestampAt, sealBatch } from '../../log/batch.ts'
import { logId } from '../../log/store.ts'
import { openBroker, type Broker } from '../broker.ts'
import { testBatch, testIdentity, testWorld, turns, type TestBatch, type TestWorld } from '../broker-world.contract.ts'
import type { Acks, Session, TopicView } from '../door.ts'
import { isRefusal } from '../errors.ts'
import { basesIn, StubStore } from '../stub-store.contract.ts'

const topic = { name: 't' }

interface Bench {
  readonly world: TestWorld
  readonly store: StubStore
  readonly broker: Broker
  readonly session: Session
  readonly view: TopicView
  send(batch: Buffer | TestBatch, acks?: Acks): ReturnType<Session['produce']>
}

async function bench(
  settings: Record<string, string> = {},
  store = new StubStore(),
  world = testWorld(),
): Promise<Bench> {
  const broker = await openBroker(world, store, {})
  const session = broker.session(testIdentity)
  const wanted = { name: 't', partitions: 1, replicationFactor: 1, settings: new Map(Object.entries(settings)) }
  const [made] = await session.createTopics([wanted], false)
  const view = isRefusal(made) && made.refused === 'topicExists' ? session.describeTopic(topic) : made
  if (isRefusal(view)) throw new Error(view.why)
  const send: Bench['send'] = (batch, acks = -1) =>
    session.produce({
      topic,
      partition: 0,
      batch: Buffer.isBuffer(batch) ? batch : testBatch(world.clock, batch),
      acks,
    })
  return { world, store, broker, session, view, send }
}

const read = (session: Session, from: number, leaderEpoch = -1) =>
  session.read({
    topic,
    partition: 0,
    offset: from,
    bytesMax: 1_000_000,
    leaderEpoch,
    committedTransactionsOnly: false,
  })

test('batches sent while the log is not open yet land in the order of their calls', async () => {
  const { send } = await bench()
  const sent = [send({ count: 2 }), send({ count: 1 }), send({ count: 3 })]
  expect(await Promise.all(sent)).toMatchObject([{ baseOffset: 0 }, { baseOffset: 2 }, { baseOffset: 3 }])
})

test('acks=1 and all wait for the commit, acks=0 does not; readers see only what is committed', async () => {
  const { send, store, session } = await bench()
  await send({})
  store.manual = true
  let answered = 0
  const all = send({}, -1).finally(() => answered++)
  const one = send({}, 1).finally(() => answered++)
  expect(await send({}, 0)).toMatchObject({ baseOffset: 3 })
  await turns()
  expect(answered).toBe(0)
  expect(await read(session, 0)).toMatchObject({ highWatermark: 1, batches: { next: 1 } })
  store.commit()
  expect(await Promise.all([all, one])).toMatchObject([{ baseOffset: 1 }, { baseOffset: 2 }])
  expect(await read(session, 0)).toMatchObject({ highWatermark: 4, batches: { next: 4 } })
})

test('a watcher hears of a commit, also when it came before the log was open', async () => {
  const { session, send } = await bench()
  let heard = 0
  const stop = session.watch(topic, 0, () => heard++)
  await turns()
  const before = heard
  await send({})
  expect(heard).toBeGreaterThan(before)
  stop()
  const after = heard
  await send({})
  expect(heard).toBe(after)
})

test('a retry while the original is under way is answered by the original, after its commit', async () => {
  const { send, store } = await bench()
  await send({})
  store.manual = true
  const original = { producerId: 7, baseSequence: 0, count: 2 }
  const first = send(original)
  let retried = false
  const retry = send(original).finally(() => (retried = true))
  await turns()
  expect(retried).toBe(false)
  expect(store.pending).toBe(1)
  store.commit()
  expect(await Promise.all([first, retry])).toMatchObject([{ baseOffset: 1 }, { baseOffset: 1 }])
  expect(await send({ producerId: 7, baseSequence: 5 })).toMatchObject({ refused: 'outOfOrderSequence' })
})

test.each(['io', 'full'] as const)('after a refused append (%s) all decided on it is forgotten', async (kind) => {
  const { send, store } = await bench()
  await send({})
  store.manual = true
  const one = { producerId: 7, baseSequence: 0 }
  const two = { producerId: 7, baseSequence: 1 }
  const lost = [send(one), send(two), send(one)]
  await turns()
  store.fail(kind)
  const refused = kind === 'io' ? 'storageFailed' : 'storageFull'
  expect(await Promise.all(lost)).toMatchObject([{ refused }, { refused }, { refused }])
  store.manual = false
  // Not a duplicate, and not out of order: neither was ever written.
  const again = await Promise.all([send(one), send(two), send(one)])
  expect(again).toMatchObject([{ baseOffset: 1 }, { baseOffset: 2 }, { baseOffset: 1 }])
})

test('what came before the failure stays known after it', async () => {
  const { send, store } = await bench()
  await send({ producerId: 7, baseSequence: 0 })
  store.manual = true
  const lost = send({ producerId: 7, baseSequence: 1 })
  await turns()
  store.fail('io')
  expect(await lost).toMatchObject({ refused: 'storageFailed' })
  store.manual = false
  expect(await send({ producerId: 7, baseSequence: 0 })).toMatchObject({ baseOffset: 0 })
  expect(await send({ producerId: 7, baseSequence: 2 })).toMatchObject({ refused: 'outOfOrderSequence' })
  expect(await send({ producerId: 7, baseSequence: 1 })).toMatchObject({ baseOffset: 1 })
})

test('a log that cannot be opened refuses, and is tried again with the next batch', async () => {
  const { send, store } = await bench()
  store.failing = { open: new Error('no such luck') }
  expect(await send({})).toMatchObject({ refused: 'storageFailed' })
  expect(await send({})).toMatchObject({ baseOffset: 0 })
})

test.each(['crash', 'clean end'])('producers are known again after a %s', async (end) => {
  const { send, store, broker, world, view } = await bench()
  for (let sequence = 0; sequence < 7; sequence++) await send({ producerId: 7, baseSequence: sequence })
  if (end === 'crash') store.crash()
  else await broker.close()
  const log = store.logs.get(logId(view.id, 0))
  if (log === undefined) throw new Error('no log')
  log.reads = 0
  const next = await bench({}, store, world)
  expect(await next.send({ producerId: 7, baseSequence: 3 })).toMatchObject({ baseOffset: 3 })
  expect(await next.send({ producerId: 7, baseSequence: 1 })).toMatchObject({ refused: 'outOfOrderSequence' })
  expect(await next.send({ producerId: 7, baseSequence: 7 })).toMatchObject({ baseOffset: 7 })
  // A clean end left a snapshot: nothing is read to know it all.
  expect(log.reads).toBe(end === 'crash' ? 1 : 0)
  expect(await next.session.listProducers('t', 0)).toMatchObject([{ producerId: 7, lastSequence: 7 }])
})

test('a snapshot is taken on the way: a crash has a start read only what came after it', async () => {
  const { send, store, world, view } = await bench()
  const many = 8192
  for (let sequence = 0; sequence < many + 3; sequence++) void send({ producerId: 7, baseSequence: sequence })
  await turns()
  store.crash()
  const log = store.logs.get(logId(view.id, 0))
  if (log === undefined) throw new Error('no log')
  const froms: number[] = []
  const readLog = log.read.bind(log)
  log.read = (from, bytesMax, below) => {
    froms.push(from)
    return readLog(from, bytesMax, below)
  }
  const next = await bench({}, store, world)
  expect(await next.send({ producerId: 7, baseSequence: many + 2 })).toMatchObject({ baseOffset: many + 2 })
  expect(await next.send({ producerId: 7, baseSequence: many + 3 })).toMatchObject({ baseOffset: many + 3 })
  expect(froms).toEqual([many])
})

const attribute = { logAppendTime: 0x08, transactional: 0x10, control: 0x20, deleteHorizon: 0x40, unused: 0x80 }

/** A batch with bytes written over, and its checksum right again. */
function changed(batch: Buffer, change: (batch: Buffer) => void): Buffer {
  change(batch)
  sealBatch(batch)
  return batch
}

test('a batch that may not be stored is refused by name, and nothing is written', async () => {
  const { send, world, session } = await bench({ 'max.message.bytes': '300', 'message.timestamp.after.max.ms': '1000' })
  const batch = (like: TestBatch = {}): Buffer => testBatch(world.clock, like)
  const cases: readonly (readonly [string, Buffer])[] = [
    ['invalidRecord', Buffer.alloc(0)],
    ['invalidRecord', changed(batch(), (bytes) => bytes.writeInt8(1, 16))],
    ['corruptBatch', changed(batch(), (bytes) => bytes.writeInt8(3, 16))],
    ['corruptBatch', batch().subarray(0, 40)],
    ['corruptBatch', changed(batch(), (bytes) => bytes.writeInt32BE(5, 8))],
    ['invalidRecord', Buffer.concat([batch(), batch()])],
    ['invalidRecord', batch().subarray(0, -1)],
    ['batchTooLarge', batch({ values: ['x'.repeat(300)] })],
    ['invalidRecord', changed(batch(), (bytes) => bytes.writeInt32BE(0, 57))],
    ['invalidRecord', changed(batch(), (bytes) => bytes.writeInt32BE(7, 23))],
    ['invalidRecord', changed(batch(), (bytes) => bytes.writeInt32BE(-1, 23))],
    ['invalidRecord', batch({ attributes: attribute.control })],
    ['invalidRecord', batch({ attributes: attribute.deleteHorizon })],
    ['invalidRecord', batch({ attributes: attribute.unused })],
    ['invalidRecord', batch({ producerId: 4 })],
    ['unsupportedCompression', batch({ attributes: 6 })],
    ['transactionsUnavailable', batch({ attributes: attribute.transactional })],
    ['invalidTimestamp', batch({ attributes: attribute.logAppendTime })],
    ['invalidTimestamp', batch({ timestampsMs: [world.clock.nowMs() + 1001] })],
  ]
  for (const [refused, bytes] of cases) expect(await send(bytes)).toMatchObject({ refused })
  const broken = batch()
  broken[70] ^= 1
  expect(await send(broken)).toMatchObject({ refused: 'corruptBatch' })
  expect(await session.describePartition(topic, 0)).toMatchObject({ end: 0 })
  expect(await send({ timestampsMs: [world.clock.nowMs() + 1000] })).toMatchObject({ baseOffset: 0 })
  expect(await send({ timestampsMs: [-1] })).toMatchObject({ baseOffset: 1 })
  expect(await session.produce({ topic, partition: 1, batch: batch(), acks: 1 })).toMatchObject({
    refused: 'unknownTopic',
  })
})

test('under LogAppendTime the log stamps the batch and says when', async () => {
  const { send, session, world } = await bench({ 'message.timestamp.type': 'LogAppendTime' })
  const nowMs = world.clock.nowMs()
  const sent = { timestampsMs: [5], producerId: 1, baseSequence: 0 }
  expect(await send(sent)).toMatchObject({ logAppendTimeMs: nowMs })
  world.clock.advance(1000)
  // The duplicate tells the time of the original.
  expect(await send(sent)).toMatchObject({ baseOffset: 0, logAppendTimeMs: nowMs })
  const got = await read(session, 0)
  if (isRefusal(got)) throw new Error(got.why)
  expect(maxTimestampAt(got.batches.chunks[0], 0)).toBe(nowMs)
  expect(await session.findOffset(topic, 0, { timestampMs: nowMs }, -1)).toMatchObject({
    offset: 0,
    timestampMs: nowMs,
  })
})

test('another codec than the topic asks for is compressed again, in the order of the calls', async () => {
  const { send, session } = await bench({ 'compression.type': 'gzip' })
  const sent = [
    send({ values: ['a'.repeat(500), 'b'], producerId: 3, baseSequence: 0 }),
    send({ values: ['c'], codec: 'gzip' }),
    send({ values: ['d'], codec: 'snappy' }),
  ]
  expect(await Promise.all(sent)).toMatchObject([{ baseOffset: 0 }, { baseOffset: 2 }, { baseOffset: 3 }])
  const got = await read(session, 0)
  if (isRefusal(got)) throw new Error(got.why)
  expect(got.batches.chunks.map((chunk) => compressionOf(attributesAt(chunk, 0)))).toEqual(['gzip', 'gzip', 'gzip'])
  expect(got.batches.chunks[0].length).toBeLessThan(200)
  expect(basesIn(got.batches.chunks)).toEqual([0, 2, 3])
  expect(await send({ values: ['a'.repeat(500), 'b'], producerId: 3, baseSequence: 0 })).toMatchObject({
    baseOffset: 0,
  })
})

test('records too old are refused by their index, also inside a compressed batch', async () => {
  const { send, world } = await bench({ 'message.timestamp.before.max.ms': '1000' })
  const nowMs = world.clock.nowMs()
  const old = { timestampsMs: [nowMs, nowMs - 2000, nowMs], count: 3, codec: 'gzip' } as const
  expect(await send(old)).toMatchObject({ refused: 'invalidTimestamp', records: [{ index: 1 }] })
  expect(await send({ timestampsMs: [nowMs - 1000] })).toMatchObject({ baseOffset: 0 })
  // A batch that lies about what is in it.
  const lie = changed(testBatch(world.clock, { count: 2 }), (batch) => {
    batch.writeInt32BE(2, 23)
    batch.writeInt32BE(3, 57)
  })
  expect(await send(lie)).toMatchObject({ refused: 'invalidRecord' })
})

test('below the low mark producing is refused, reading and deleting go on, and it ends by itself', async () => {
  const { send, store, session, world } = await bench()
  await send({ count: 3 })
  store.freeBytes = 20 * 1024 * 1024
  world.clock.advance(1000)
  expect(await send({})).toMatchObject({ refused: 'storageFull', why: expect.stringContaining('disk.low.bytes') })
  expect(await read(session, 0)).toMatchObject({ batches: { next: 3 } })
  expect(await session.deleteRecords('t', 0, 2)).toBe(2)
  store.freeBytes = 1_000_000_000
  world.clock.advance(1000)
  expect(await send({})).toMatchObject({ baseOffset: 3 })
  store.freeBytes = 0
  world.clock.advance(1000)
  const more = { name: 'more', partitions: 1, replicationFactor: 1, settings: new Map() }
  expect(await session.createTopics([more], false)).toMatchObject([{ refused: 'storageFull' }])
  expect(await session.deleteTopics([topic])).toMatchObject([{ name: 't' }])
})

test('a deleted topic answers everyone who still waits', async () => {
  const { send, store, session } = await bench()
  await send({})
  store.manual = true
  const waiting = send({})
  const deleted = session.deleteTopics([topic])
  await turns()
  store.commit(1)
  store.manual = false
  store.commit()
  expect(await waiting).toMatchObject({ baseOffset: 1 })
  expect(await deleted).toMatchObject([{ name: 't' }])
  expect(await send({})).toMatchObject({ refused: 'unknownTopic' })
})
