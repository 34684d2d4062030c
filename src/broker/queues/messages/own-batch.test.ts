// Batches of ours in topics that want them compressed or stamped: stored so, and read back as they were published.
// Promises: what lies in the log is looked at, not only what comes out. Does not know: what a Kafka client makes of it.

import { expect, test } from 'vitest'
import { attributesAt, compressionOf, hasLogAppendTime, isOwnBatch } from '../../../log/batch.ts'
import { logId, offset } from '../../../log/store.ts'
import { consume, publish, QueueStage, testMessage } from '../queue-stage.contract.ts'
import { turns } from '../../broker-world.contract.ts'
import { packedBytesMax } from './own-batch.ts'

const long = 'thread '.repeat(40)

test.each([
  ['nothing', {}, 'none', false],
  ['the time of the append', { 'message.timestamp.type': 'LogAppendTime' }, 'none', true],
  ['gzip', { 'compression.type': 'gzip' }, 'gzip', false],
  ['lz4, and the time', { 'compression.type': 'lz4', 'message.timestamp.type': 'LogAppendTime' }, 'lz4', true],
  ['zstd', { 'compression.type': 'zstd' }, 'zstd', false],
  ['uncompressed', { 'compression.type': 'uncompressed' }, 'none', false],
] as const)('a topic that wants %s', async (_, settings, codec, isStamped) => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  queue.topic = { ...queue.topic, policy: stage.catalog.policyOf(new Map(Object.entries(settings))) }
  await publish(queue, testMessage(long, { messageId: 'm' }), testMessage('b'), testMessage(Buffer.alloc(0)))
  const log = await stage.store.open(logId(queue.topic.id, 0), queue.topic.policy as never)
  const { chunks } = await log.read(offset(0), 1_000_000, log.end)
  const attributes = attributesAt(chunks[0], 0)
  expect([isOwnBatch(attributes), compressionOf(attributes), hasLogAppendTime(attributes)]).toEqual([
    true,
    codec,
    isStamped,
  ])
  const consumer = consume(queue)
  await expect.poll(() => consumer.bodies, { interval: 1 }).toEqual([long, 'b', ''])
  await publish(queue, 'c')
  await expect.poll(() => consumer.bodies.length, { interval: 1 }).toBe(4)
  await turns()
})

test('a large message is stored as it came, whatever its topic wants: nobody waits for it to be compressed', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  const settings = { 'compression.type': 'gzip', 'message.timestamp.type': 'LogAppendTime' }
  queue.topic = { ...queue.topic, policy: stage.catalog.policyOf(new Map(Object.entries(settings))) }
  for (const bytes of [packedBytesMax - 500, packedBytesMax]) await publish(queue, testMessage(Buffer.alloc(bytes)))
  const log = await stage.store.open(logId(queue.topic.id, 0), queue.topic.policy as never)
  const codecs: unknown[] = []
  for (const at of [0, 1]) {
    const { chunks } = await log.read(offset(at), 1, log.end)
    const attributes = attributesAt(chunks[0], 0)
    codecs.push([compressionOf(attributes), hasLogAppendTime(attributes)])
  }
  expect(codecs).toEqual([
    ['gzip', true],
    ['none', true],
  ])
})
