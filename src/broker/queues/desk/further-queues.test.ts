// Further ledgers through the door, where clients cannot look: what is read, what a refused write leaves, what a start does.
// Promises: over a store that counts reads and refuses when told.
// Does not know: protocols; what clients see of further ledgers is in the end-to-end tests.

import { expect, test } from 'vitest'
import type { FieldTable } from '../../../base/fields.ts'
import { openBroker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import type { Session } from '../../door.ts'
import { isRefusal } from '../../errors.ts'
import { StubStore } from '../../stub-store.contract.ts'

const world = testWorld()
const text = (value: string): FieldTable[number]['value'] => ({ type: 'text', value: Buffer.from(value) })
const number = (value: number): FieldTable[number]['value'] => ({ type: 'int32', value })

async function open(store: StubStore): Promise<Session> {
  return (await openBroker(world, store, {})).session(testIdentity)
}

async function withOrders(store: StubStore): Promise<Session> {
  const session = await open(store)
  await session.createTopics([{ name: 'orders', partitions: 1, replicationFactor: 1, settings: new Map() }], false)
  return session
}

const declare = (session: Session, name: string, args: Readonly<Record<string, string | number>> = {}) =>
  session.queues.declareQueue({
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: Object.entries({ 'x-log': 'orders', ...args }).map(([key, value]) => ({
      name: key,
      value: typeof value === 'string' ? text(value) : number(value),
    })),
  })

async function produce(session: Session, values: readonly string[]): Promise<void> {
  const batch = testBatch(world.clock, { values })
  const outcome = await session.produce({ topic: { name: 'orders' }, partition: 0, batch, acks: -1 })
  expect(isRefusal(outcome)).toBe(false)
  world.clock.advance(10)
  await turns(8)
}

async function next(session: Session, queue: string): Promise<string | undefined> {
  const channel = session.queues.openChannel({ hasRoom: true, deliver: () => {}, cancelled: () => {} })
  const got = await channel.get(queue, true)
  channel.close()
  world.clock.advance(10)
  await turns()
  return isRefusal(got) ? got.refused : got?.body.toString()
}

const readsOf = (store: StubStore): number => {
  let reads = 0
  for (const log of store.logs.values()) reads += log.reads
  return reads
}

test('ledgers that nobody reads from read nothing, whatever bounds them', async () => {
  const store = new StubStore()
  const session = await withOrders(store)
  for (let at = 0; at < 20; at++) await declare(session, `idle.${at}`)
  for (let at = 0; at < 20; at++) await declare(session, `short.${at}`, { 'x-max-length': 5 })
  for (let at = 0; at < 20; at++) await declare(session, `few.${at}`, { 'x-filter-key': 'eu.#', 'x-max-length': 5 })
  const before = readsOf(store)
  for (let at = 0; at < 10; at++) await produce(session, ['a', 'b', 'c'])
  expect(readsOf(store)).toBe(before)
  expect(await session.queues.checkQueue('short.3')).toMatchObject({ messages: 5 })
  expect(await session.queues.checkQueue('idle.3')).toMatchObject({ messages: 30 })
})

test('a start opens those with a bound, so that they let go though nobody asks for them', async () => {
  const store = new StubStore()
  const before = await withOrders(store)
  await declare(before, 'short', { 'x-max-length': 2 })
  await produce(before, ['a', 'b', 'c'])
  store.crash()
  const session = await open(store)
  await turns(8)
  await produce(session, ['d', 'e'])
  expect(world.trace.counters().get('ledger.closed.maxlen')).toBeGreaterThan(0)
  expect([await next(session, 'short'), await next(session, 'short')]).toEqual(['d', 'e'])
})

test('one that nobody uses for as long as it said is gone, its topic stays; its number is taken again', async () => {
  const store = new StubStore()
  const session = await withOrders(store)
  await declare(session, 'brief', { 'x-expires': 1000 })
  await produce(session, ['a'])
  expect(await next(session, 'brief')).toBe('a')
  world.clock.advance(1001)
  await turns(20)
  expect(await session.queues.checkQueue('brief')).toMatchObject({ refused: 'queueMissing' })
  expect(session.describeTopic({ name: 'orders' })).toMatchObject({ partitions: 1 })
  // What the one before had read is nothing to the new one, also after a crash.
  await declare(session, 'other')
  store.crash()
  expect(await next(await open(store), 'other')).toBe('a')
})

test('a declaration that the disk refuses leaves nothing, and may be made again', async () => {
  const store = new StubStore()
  const session = await withOrders(store)
  await produce(session, ['a', 'b'])
  store.manual = true
  const refused = declare(session, 'audit', { 'x-start': 1 })
  await turns()
  store.fail('full')
  expect(await refused).toMatchObject({ refused: 'storageFull' })
  store.manual = false
  await turns(20)
  expect(await session.queues.checkQueue('audit')).toMatchObject({ refused: 'queueMissing' })
  expect(await declare(session, 'audit', { 'x-start': 1 })).toMatchObject({ messages: 1 })
  expect(await next(session, 'audit')).toBe('b')
})

test('a rewind that the disk refuses leaves the queue where it was', async () => {
  const store = new StubStore()
  const session = await withOrders(store)
  await produce(session, ['a', 'b', 'c'])
  await declare(session, 'audit')
  expect(await next(session, 'audit')).toBe('a')
  store.manual = true
  const refused = session.queues.rewindQueue('audit', { kind: 'first' })
  await turns()
  store.fail('full')
  expect(await refused).toMatchObject({ refused: 'storageFull' })
  store.manual = false
  await turns(20)
  expect(await next(session, 'audit')).toBe('b')
  expect(await session.queues.rewindQueue('audit', { kind: 'first' })).toMatchObject([{ offset: 0 }])
  expect(await next(session, 'audit')).toBe('a')
  store.crash()
  expect(await next(await open(store), 'audit')).toBe('b')
})

test('consumers go on as if nothing had been when a rewind is refused, whoever asked for the queue meanwhile', async () => {
  const store = new StubStore()
  const session = await withOrders(store)
  await produce(session, ['a', 'b', 'c', 'd'])
  await declare(session, 'audit')
  const given: string[] = []
  const channel = session.queues.openChannel({
    hasRoom: true,
    deliver: ({ tag, body }) => {
      given.push(body.toString())
      if (given.length !== 1) channel.acknowledge(tag, false)
    },
    cancelled: () => {},
  })
  channel.setPrefetch(2, 'consumer')
  const call = { queue: 'audit', consumerTag: 'c', noAck: false, exclusive: false, arguments: [] }
  const consumer = await channel.consume(call)
  if (isRefusal(consumer)) throw new Error(consumer.why)
  consumer.start()
  await turns()
  expect(given).toEqual(['a', 'b', 'c', 'd'])
  store.manual = true
  const refused = session.queues.rewindQueue('audit', { kind: 'first' })
  await turns()
  const counted = session.queues.checkQueue('audit')
  await turns()
  store.fail('full')
  store.manual = false
  expect(await refused).toMatchObject({ refused: 'storageFull' })
  await counted
  await turns(20)
  expect(given).toEqual(['a', 'b', 'c', 'd'])
  // Held all the time, and still his.
  channel.reject(1, false, true, false)
  await turns()
  expect(given).toEqual(['a', 'b', 'c', 'd', 'a'])
  expect(await session.queues.checkQueue('audit')).toMatchObject({ messages: 0 })
})

test('a rewind to what the log does not hold any more says so', async () => {
  const store = new StubStore()
  const session = await withOrders(store)
  await produce(session, ['a', 'b', 'c'])
  await declare(session, 'audit')
  await session.deleteRecords('orders', 0, 2)
  expect(await session.queues.rewindQueue('audit', { kind: 'offset', offset: 1 })).toEqual([
    { partition: 0, offset: 2, isCut: true },
  ])
  expect(await next(session, 'audit')).toBe('c')
})
