// Tests of what queues cost: disk given back when messages are worked off, memory that does not grow with a backlog.
// Promises: counted in segments, bytes of heap and of buffers; no clock but the test's.
// Does not know: real disks.

import { expect, test } from 'vitest'
import { refuse } from '../errors.ts'
import { turns } from '../broker-world.contract.ts'
import { windowsBytesMax } from './messages/reading.ts'
import { consume, publish, QueueStage, testMessage } from './queue-stage.contract.ts'

const mebibyte = Buffer.alloc(1024 * 1024, 'x')

test('segments below the floor are dropped once the closing is committed; an emptied queue closes the last one', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  const log = stage.partitions.of(queue.topic, 0)!.log!
  const consumer = consume(queue)
  for (let round = 0; round < 3; round++) {
    for (let count = 0; count < 3; count++) await publish(queue, testMessage(mebibyte))
    log.roll()
  }
  for (let count = 0; count < 5; count++) await publish(queue, testMessage(mebibyte))
  await turns(10)
  expect(consumer.got).toHaveLength(14)
  for (const { offset } of consumer.got.slice(0, 7)) queue.lanes[0].acknowledge(offset)
  await turns(10)
  stage.world.clock.advance(1000)
  await turns(10)
  expect(log.start).toBe(6)
  for (const { offset } of consumer.got.slice(7)) queue.lanes[0].acknowledge(offset)
  await turns(10)
  stage.world.clock.advance(1000)
  await turns(10)
  expect([log.start, log.end]).toEqual([14, 14])
  expect(await publish(queue, 'after')).toBe('stored')
})

test.each([false, true])('one message that nobody acknowledges does not keep its segment whole %#', async (noAck) => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  const log = stage.partitions.of(queue.topic, 0)!.log!
  const asked: [number, boolean[]][] = []
  log.rewrite = async (base, keep) => {
    asked.push([base, [0, 1, 2, 3, 4].map((at) => keep((base + at) as never, (base + at + 1) as never))])
  }
  const slow = consume(queue, { credit: 1 })
  for (let count = 0; count < 5; count++) await publish(queue, testMessage(mebibyte))
  log.roll()
  await publish(queue, 'active')
  await turns(10)
  expect(slow.got).toHaveLength(1)
  const consumer = consume(queue, { noAck })
  await turns(10)
  expect(consumer.got).toHaveLength(5)
  if (!noAck) for (const { offset } of consumer.got) queue.lanes[0].acknowledge(offset)
  await turns(10)
  stage.world.clock.advance(1000)
  await turns(10)
  expect(asked).toEqual([[0, [true, false, false, false, false]]])
  expect(log.start).toBe(0)
})

test('a topic that keeps what was consumed is not trimmed', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  queue.topic = { ...queue.topic, policy: { ...queue.topic.policy, dropsConsumed: false } }
  await publish(queue, ...Array.from({ length: 5 }, () => testMessage(mebibyte)))
  const consumer = consume(queue, { noAck: true })
  await turns(10)
  expect(consumer.got).toHaveLength(5)
  stage.world.clock.advance(1000)
  await turns(10)
  expect(stage.partitions.of(queue.topic, 0)!.log!.start).toBe(0)
})

test('a backlog is positions: a million messages cost no memory beside the log, worked off or not', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  const log = stage.store.logs.get(stage.partitions.of(queue.topic, 0)!.id)!
  const one = testMessage('0123456789')
  const measure = (): number => {
    globalThis.gc?.()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers - log.batches.reduce((sum, { bytes }) => sum + bytes.length + 300, 0)
  }
  const before = measure()
  for (let turn = 0; turn < 500; turn++) {
    for (let count = 0; count < 2000; count++) queue.add(one)
    await turns(1)
  }
  await queue.settled()
  expect(queue.messages).toBe(1_000_000)
  const held = measure() - before
  let taken = 0
  const consumer = consume(queue)
  consumer.deliver = () => void taken++
  while (taken < 1_000_000) await turns(20)
  expect(queue.unacknowledged).toBe(1_000_000)
  const unacknowledged = measure() - before
  for (let offset = 0; offset < 1_000_000; offset++) queue.lanes[0].acknowledge(offset)
  await turns(10)
  expect([queue.messages, queue.unacknowledged]).toEqual([0, 0])
  // The collector is not ours to command here: what matters is that it is not tens of bytes a message.
  const slack = 24 * 1024 * 1024
  expect(held).toBeLessThan(slack)
  expect(unacknowledged).toBeLessThan(windowsBytesMax + slack)
}, 60_000)

test('a batch that claims to be ours is refused to Kafka’s clients', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  await publish(queue, 'ours')
  const partition = stage.partitions.of(queue.topic, 0)!
  const copied = Buffer.from(stage.store.logs.get(partition.id)!.batches[0].bytes)
  const why = 'The batch sets attribute bits that a producer leaves clear.'
  expect(await partition.produce(queue.topic.policy, copied, -1)).toMatchObject(refuse('invalidRecord', why))
})
