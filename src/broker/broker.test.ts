// The broker through its door, on the memory engine.
// Promises: what a client sees of topics and records, from openBroker to close.
// Does not know: protocols.

import { expect, test } from 'vitest'
import { openMemoryStore } from '../engines/memory/memory-store.ts'
import { encodeBatch } from '../log/records.ts'
import { openBroker } from './broker.ts'
import { testWorld } from './broker-world.contract.ts'
import { isRefusal } from './errors.ts'

const identity = { vhost: '/', principal: 'User:ANONYMOUS', clientId: 'test', address: '127.0.0.1' }

async function openTestBroker(settings: Record<string, string> = {}) {
  const world = testWorld()
  const store = openMemoryStore(world, { bytesMax: 512 * 1024 * 1024 })
  const broker = await openBroker(world, store, { settings })
  return { world, store, broker, session: broker.session(identity) }
}

const batchOf = (world: { clock: { nowMs(): number } }, ...values: string[]): Buffer =>
  encodeBatch(values.map((value) => ({ key: null, value: Buffer.from(value), timestampMs: world.clock.nowMs() })))

test('a missing topic is made once, however many ask, and takes and gives records', async () => {
  const { world, session } = await openTestBroker()
  const [one, other] = await Promise.all([session.findOrCreateTopic('orders'), session.findOrCreateTopic('orders')])
  if (isRefusal(one) || isRefusal(other)) throw new Error('not made')
  expect(other.id).toBe(one.id)
  expect(one.partitions).toBe(1)
  const topic = { name: 'orders' }
  const [first, second] = await Promise.all([
    session.produce({ topic, partition: 0, batch: batchOf(world, 'a', 'b'), acks: -1 }),
    session.produce({ topic, partition: 0, batch: batchOf(world, 'c'), acks: 1 }),
  ])
  expect(first).toMatchObject({ baseOffset: 0, logAppendTimeMs: -1, logStart: 0 })
  expect(second).toMatchObject({ baseOffset: 2 })
  const read = await session.read({
    topic: { id: one.id },
    partition: 0,
    offset: 0,
    bytesMax: 1_000_000,
    leaderEpoch: -1,
    committedTransactionsOnly: false,
  })
  expect(read).toMatchObject({ highWatermark: 3, lastStable: 3, logStart: 0, batches: { next: 3 } })
})
