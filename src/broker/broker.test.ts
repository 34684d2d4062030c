// The broker through its door, on real engines: from openBroker to close and open again.
// Promises: what a client sees of topics, records and producers, the same on memory and on disk.
// Does not know: protocols.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { noProperties } from '../base/properties.ts'
import type { World } from '../base/world.ts'
import { openLocalStore } from '../engines/local/local-store.ts'
import { openMemoryStore } from '../engines/memory/memory-store.ts'
import { RecordCursor } from '../log/records.ts'
import { forEachBatch } from '../log/batch.ts'
import { nodeWorld } from '../server/node-world.ts'
import { openBroker, type Broker } from './broker.ts'
import { testBatch, testIdentity } from './broker-world.contract.ts'
import type { Session } from './door.ts'
import { isRefusal } from './errors.ts'
import type { Channel } from './queue-door.ts'
import type { Store } from '../log/store.ts'

interface Place {
  open(): Promise<Store>
  /** What ends with the process: closing a memory store would end its data. */
  close(store: Store): Promise<void>
}

const ends: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

function memory(world: World): Place {
  const store = openMemoryStore(world, { bytesMax: 512 * 1024 * 1024 })
  return { open: () => Promise.resolve(store), close: () => Promise.resolve() }
}

function local(world: World): Place {
  const path = mkdtempSync(join(tmpdir(), 'odradek-broker-'))
  ends.push(() => rmSync(path, { recursive: true, force: true }))
  const onFatal = (error: Error): void => {
    throw error
  }
  return { open: () => openLocalStore(world, { path, onFatal }), close: (store) => store.close() }
}

const engines = [
  ['memory', memory],
  ['local', local],
] as const

/** Opens and closes the broker over one place. */
function bench(engine: (world: World) => Place, settings: Record<string, string> = {}) {
  const world = nodeWorld({ trace: { level: 'error' } })
  const place = engine(world)
  let open: { store: Store; broker: Broker } | undefined
  const close = async (): Promise<void> => {
    if (open === undefined) return
    const { store, broker } = open
    open = undefined
    await broker.close()
    await place.close(store)
  }
  ends.push(close)
  const start = async (): Promise<Session> => {
    await close()
    const store = await place.open()
    open = { store, broker: await openBroker(world, store, { settings }) }
    return open.broker.session(testIdentity)
  }
  return { world, start }
}

const topic = { name: 'orders' }

/** Values of all records from `from` on. */
async function valuesFrom(session: Session, from: number): Promise<string[]> {
  const values: string[] = []
  for (let at = from; ;) {
    const read = await session.read({
      topic,
      partition: 0,
      offset: at,
      bytesMax: 2000,
      leaderEpoch: -1,
      committedTransactionsOnly: false,
    })
    if (isRefusal(read)) throw new Error(read.why)
    for (const chunk of read.batches.chunks)
      forEachBatch(chunk, (head, position) => {
        const cursor = new RecordCursor(chunk.subarray(position + 61, position + head.bytes))
        while (cursor.next()) values.push(String(cursor.value))
      })
    if (read.batches.next === at) return values
    at = read.batches.next
  }
}

test.each(engines)(
  '%s: a missing topic is made once, however many ask, and keeps what it is given',
  async (_, engine) => {
    const { world, start } = bench(engine)
    let session = await start()
    const [one, other] = await Promise.all([session.findOrCreateTopic('orders'), session.findOrCreateTopic('orders')])
    if (isRefusal(one) || isRefusal(other)) throw new Error('not made')
    expect(other.id).toBe(one.id)
    const sent = Array.from({ length: 40 }, (_, sequence) => {
      const batch = testBatch(world.clock, {
        values: [`v${sequence}`, `w${sequence}`],
        producerId: 9,
        baseSequence: 2 * sequence,
      })
      return session.produce({ topic, partition: 0, batch, acks: -1 })
    })
    const produced = await Promise.all(sent)
    expect(produced.map((outcome) => (isRefusal(outcome) ? outcome.why : outcome.baseOffset))).toEqual(
      Array.from({ length: 40 }, (_, index) => 2 * index),
    )
    const values = Array.from({ length: 40 }, (_, index) => [`v${index}`, `w${index}`]).flat()
    expect(await valuesFrom(session, 0)).toEqual(values)

    session = await start()
    expect(session.describeTopic({ id: one.id })).toMatchObject({ name: 'orders', id: one.id })
    expect(await valuesFrom(session, 0)).toEqual(values)
    const again = testBatch(world.clock, { values: ['v38', 'w38'], producerId: 9, baseSequence: 76 })
    expect(await session.produce({ topic, partition: 0, batch: again, acks: -1 })).toMatchObject({ baseOffset: 76 })
    const next = testBatch(world.clock, { values: ['last'], producerId: 9, baseSequence: 80 })
    expect(await session.produce({ topic, partition: 0, batch: next, acks: -1 })).toMatchObject({ baseOffset: 80 })
    expect(await valuesFrom(session, 80)).toEqual(['last'])
  },
)

test.each(engines)('%s: producer ids are never given twice, also after restarts', async (_, engine) => {
  const { start } = bench(engine)
  const given = new Set<number>()
  for (let round = 0; round < 3; round++) {
    const session = await start()
    const ids = await Promise.all(Array.from({ length: 1100 }, () => session.initProducer(undefined)))
    for (const id of ids) {
      if (isRefusal(id)) throw new Error(id.why)
      expect(id.producerEpoch).toBe(0)
      given.add(id.producerId)
    }
  }
  expect(given.size).toBe(3300)
  const session = await start()
  const bumped = await session.initProducer({ producerId: 5, producerEpoch: 3 })
  expect(bumped).toEqual({ producerId: 5, producerEpoch: 4 })
  const exhausted = await session.initProducer({ producerId: 5, producerEpoch: 32_766 })
  if (isRefusal(exhausted)) throw new Error(exhausted.why)
  expect(given.has(exhausted.producerId)).toBe(false)
  expect(exhausted.producerEpoch).toBe(0)
  expect(await session.initProducer({ producerId: 1e9, producerEpoch: 0 })).toMatchObject({
    refused: 'unknownProducer',
  })
})

test.each(engines)('%s: retention drops segments, and a restart knows the log start', async (_, engine) => {
  const { world, start } = bench(engine, { 'log.retention.check.interval.ms': '20' })
  let session = await start()
  const settings = new Map([
    ['segment.bytes', '1024'],
    ['retention.bytes', '3000'],
  ])
  await session.createTopics([{ name: 'orders', partitions: 1, replicationFactor: 1, settings }], false)
  const dropped = new Promise<void>((resolve) => {
    const stop = session.watch(topic, 0, () => {
      void session.describePartition(topic, 0).then((view) => {
        if (isRefusal(view) || view.end < 20 || view.bytes > 4100) return
        stop()
        resolve()
      })
    })
  })
  for (let index = 0; index < 20; index++) {
    const batch = testBatch(world.clock, { values: ['x'.repeat(900)] })
    await session.produce({ topic, partition: 0, batch, acks: 1 })
  }
  await dropped
  const before = await session.describePartition(topic, 0)
  if (isRefusal(before)) throw new Error(before.why)
  expect(before.start).toBeGreaterThan(10)
  expect(before.bytes).toBeGreaterThanOrEqual(3000)
  session = await start()
  expect(await session.describePartition(topic, 0)).toMatchObject({ start: before.start, end: 20 })
})

test.each(engines)('%s: offsets by time, deleted records, deleted topics', async (_, engine) => {
  const { world, start } = bench(engine)
  let session = await start()
  await session.findOrCreateTopic('orders')
  const send = (timestampsMs: number[]) =>
    session.produce({
      topic,
      partition: 0,
      batch: testBatch(world.clock, { count: timestampsMs.length, timestampsMs, codec: 'gzip' }),
      acks: 1,
    })
  await send([100, 300, 200])
  await send([250, 400])
  expect(await session.findOffset(topic, 0, { timestampMs: 301 }, -1)).toMatchObject({ offset: 4, timestampMs: 400 })
  expect(await session.findOffset(topic, 0, 'maxTimestamp', -1)).toMatchObject({ offset: 4, timestampMs: 400 })
  expect(await session.deleteRecords('orders', 0, 2)).toBe(2)
  session = await start()
  expect(await session.findOffset(topic, 0, 'earliest', -1)).toMatchObject({ offset: 2 })
  expect(await session.findOffset(topic, 0, { timestampMs: 0 }, -1)).toMatchObject({ offset: 2, timestampMs: 200 })
  const { length } = await session.deleteTopics([topic])
  expect(length).toBe(1)
  session = await start()
  expect(session.listTopics()).toEqual([])
  expect(session.cluster().clusterId).toMatch(/^[\w-]{22}$/)
})

/** The next message of a queue, settled when asked to. */
async function got(channel: Channel, queue: string, settle = true): Promise<string | undefined> {
  const message = await channel.get(queue, false)
  if (isRefusal(message)) throw new Error(message.why)
  if (message !== undefined && settle) channel.acknowledge(message.tag, false)
  return message && `${message.redelivered ? 'again ' : ''}${message.exchange} ${message.routingKey} ${message.body}`
}

test.each(engines)('%s: queues, bindings and what was acknowledged are there after a start', async (_, engine) => {
  const { world, start } = bench(engine)
  const sink = { hasRoom: true, deliver: () => undefined, cancelled: () => undefined }
  let { queues } = await start()
  const facts = { durable: true, exclusive: false, autoDelete: false, arguments: [] }
  await queues.declareQueue({ ...facts, name: 'orders' })
  await queues.declareQueue({ ...facts, name: 'transient', durable: false })
  await queues.declareQueue({ ...facts, name: 'mine', exclusive: true })
  await queues.declareExchange({ ...facts, name: 'news', type: 'topic', internal: false })
  const binding = { source: 'news', destinationKind: 'queue', routingKey: 'a.*', arguments: [] } as const
  for (const destination of ['orders', 'transient', 'mine']) await queues.bind({ ...binding, destination })
  let channel = queues.openChannel(sink)
  const receipts = ['one', 'two', 'three'].map((text) => {
    const body = Buffer.from(text)
    const published = { exchange: 'news', routingKey: 'a.b', properties: noProperties, body: [body] }
    const receipt = channel.publish({ ...published, bodyBytes: body.length })
    if (receipt === 'unroutable' || isRefusal(receipt)) throw new Error('not published')
    return new Promise<void>((stored) => receipt.whenSettled(stored))
  })
  await Promise.all(receipts)
  for (const queue of ['transient', 'mine']) expect(await got(channel, queue)).toBe('news a.b one')
  expect(await got(channel, 'orders')).toBe('news a.b one')
  expect(await got(channel, 'orders', false)).toBe('news a.b two')
  channel.close()
  const produced = testBatch(world.clock, { values: ['by Kafka'] })

  const again = await start()
  queues = again.queues
  expect((await queues.listQueues()).map((view) => view.name)).toEqual(['orders'])
  const bindings = queues.listBindings()
  expect(isRefusal(bindings) ? [] : bindings.map((one) => one.destination)).toEqual(['orders'])
  expect(await queues.checkQueue('orders')).toMatchObject({ messages: 2 })
  expect(again.cluster().dataBytes).toBeGreaterThan(0)
  await again.produce({ topic, partition: 0, batch: produced, acks: -1 })
  channel = queues.openChannel(sink)
  expect(await got(channel, 'orders')).toBe('again news a.b two')
  expect(await got(channel, 'orders')).toBe('news a.b three')
  expect(await got(channel, 'orders')).toMatch(/ by Kafka$/)
  expect(await got(channel, 'orders')).toBeUndefined()
  expect(await queues.deleteQueue('orders', { ifUnused: true, ifEmpty: true })).toBe(0)
  expect((await start()).listTopics()).toEqual([])
})
