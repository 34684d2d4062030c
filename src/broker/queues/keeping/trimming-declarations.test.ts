// Trimming against declarations, deletions and rewinds that are under way, through the door.
// Promises: over a store that commits and refuses when told; rounds run when the clock says so.
// Does not know: protocols; which offsets may go when nothing is under way (trimming-model.test.ts).

import { expect, test } from 'vitest'
import type { Field, FieldTable } from '../../../base/fields.ts'
import { logId, type TopicId } from '../../../log/store.ts'
import { openBroker } from '../../broker.ts'
import { testBatch, testIdentity, testWorld, turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import { StubStore } from '../../stub-store.contract.ts'

const text = (value: string): Field => ({ type: 'text', value: Buffer.from(value) })
const number = (value: number): Field => ({ type: 'int32', value })
const overOrders = { 'x-log': text('orders'), 'x-max-length': number(100) }

/** A queue `orders` that AMQP's clients made, with a segment for each of its messages. */
async function bench(messages: readonly string[]) {
  const world = testWorld()
  const store = new StubStore()
  const session = (await openBroker(world, store, {})).session(testIdentity)
  const one = {
    world,
    store,
    declare: (name: string, said: Readonly<Record<string, Field>> = {}) => {
      const args: FieldTable = Object.entries(said).map(([key, value]) => ({ name: key, value }))
      return session.queues.declareQueue({ name, durable: true, exclusive: false, autoDelete: false, arguments: args })
    },
    delete: (name: string) => session.queues.deleteQueue(name, { ifUnused: false, ifEmpty: false }),
    rewind: (name: string) => session.queues.rewindQueue(name, { kind: 'first' }),
    grow: (partitions: number) => session.createPartitions('orders', partitions, false),
    next: async (queue: string): Promise<string | undefined> => {
      const channel = session.queues.openChannel({ hasRoom: true, deliver: () => {}, cancelled: () => {} })
      const got = await channel.get(queue, true)
      channel.close()
      world.clock.advance(10)
      await turns()
      return isRefusal(got) ? got.refused : got?.body.toString()
    },
    produce: async (value: string) => {
      const batch = testBatch(world.clock, { values: [value] })
      await session.produce({ topic: { name: 'orders' }, partition: 0, batch, acks: -1 })
      const topic = session.describeTopic({ name: 'orders' })
      if (isRefusal(topic)) throw new Error(topic.why)
      store.logs.get(logId(topic.id as TopicId, 0))?.roll()
      await turns()
    },
    start: async (): Promise<number> => {
      const found = await session.describePartition({ name: 'orders' }, 0)
      return isRefusal(found) ? -1 : found.start
    },
    /** What was closed by now is looked at. */
    round: async () => {
      world.clock.advance(1000)
      await turns(10)
    },
  }
  await one.declare('orders')
  for (const value of messages) await one.produce(value)
  return one
}

test('what a queue has open stays while its deletion is on its way to the disk, and when that is refused', async () => {
  const { declare, delete: remove, next, store, round, start } = await bench(['a', 'b', 'c'])
  await declare('audit', overOrders)
  for (const value of ['a', 'b', 'c']) expect(await next('orders')).toBe(value)
  store.manual = true
  const refused = remove('audit')
  await turns()
  await round()
  expect(await start()).toBe(0)
  store.fail('full')
  store.manual = false
  expect(await refused).toMatchObject({ refused: 'storageFull' })
  await turns(20)
  await round()
  for (const value of ['a', 'b', 'c']) expect(await next('audit')).toBe(value)
  await round()
  expect(await start()).toBe(3)
})

test('a queue that was rewound is asked by the ledger it goes by now, though others over its log know an older one', async () => {
  const { declare, next, rewind, round, start, grow } = await bench(['a', 'b', 'c'])
  await declare('audit', overOrders)
  await rewind('orders')
  // Over the log the queue goes by its second ledger, as the further one hears.
  await grow(2)
  await round()
  expect(await rewind('orders')).toMatchObject([{ offset: 0 }, { offset: 0 }])
  // Its number is free, and taken by one that needs nothing of what is there.
  await declare('late', { ...overOrders, 'x-start': text('next') })
  await round()
  for (const value of ['a', 'b', 'c']) expect(await next('audit')).toBe(value)
  await round()
  expect(await start()).toBe(0)
  for (const value of ['a', 'b', 'c']) expect(await next('orders')).toBe(value)
})

test('a queue is not deleted under one that is declared over its log at the same time', async () => {
  const { declare, delete: remove, grow, next, store } = await bench(['a'])
  store.manual = true
  const grown = grow(2)
  await turns()
  // Both wait until the topic has its partitions.
  const declared = declare('audit', overOrders)
  await turns()
  const refused = remove('orders')
  await turns()
  store.manual = false
  store.commit()
  await grown
  expect(await declared).toMatchObject({ messages: 1 })
  expect(await refused).toMatchObject({ refused: 'queueInUse' })
  expect([await next('audit'), await next('orders')]).toEqual(['a', 'a'])
})
