// Batches that lie, and batches that are no messages, in a queue's log: closed with a reason, in good time.
// Promises: every way to lie that a head lets through; what is around them is delivered.
// Does not know: what a produce refuses for its head alone (streams/batch-judge.ts).

import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { findField } from '../../../base/fields.ts'
import { noProperties, readProperties } from '../../../base/properties.ts'
import { openMemoryStore } from '../../../engines/memory/memory-store.ts'
import { assembleBatch, compressionBits, readBatchHead, sealBatch, type CompressionName } from '../../../log/batch.ts'
import { deflate } from '../../../log/compression.ts'
import { encodeRecords } from '../../../log/records.ts'
import { openBroker } from '../../broker.ts'
import { testBatch, testWorld, turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import type { Got } from '../../queue-door.ts'
import { consume, publish, QueueStage } from '../queue-stage.contract.ts'

const recordsOf = (values: readonly string[]): Buffer =>
  encodeRecords(
    values.map((value) => ({ key: null, value: Buffer.from(value), timestampMs: 0 })),
    0,
  )

/** A batch whose head counts `count` records whatever its section holds. */
function claiming(count: number, section: Buffer, codec: CompressionName = 'none', attributes = 0): Buffer {
  return assembleBatch(
    {
      attributes: attributes | compressionBits(codec),
      lastOffsetDelta: count - 1,
      baseTimestampMs: 0,
      maxTimestampMs: 0,
      count,
    },
    section,
  )
}

const bomb = (): Buffer => deflate('gzip', Buffer.alloc(65 * 1024 * 1024))
const badDelta = (): Buffer => {
  const section = recordsOf(['a', 'b'])
  // The second record's offset delta.
  section[section.length / 2 + 3] = 10
  return section
}

const lies: readonly (readonly [what: string, batch: () => Buffer, offsets: number])[] = [
  ['fewer records than its head says', () => claiming(3, recordsOf(['a'.repeat(9), 'b'])), 3],
  ['more records than its head says', () => claiming(1, recordsOf(['a', 'b'])), 1],
  ['a record longer than the batch', () => claiming(1, Buffer.from([0x7f, 0, 0, 0, 1, 1, 0])), 1],
  ['offsets that do not follow', () => claiming(2, badDelta()), 2],
  ['bytes that are no gzip', () => claiming(2, randomBytes(200), 'gzip'), 2],
  ['a gzip whose inner checksum is wrong', () => claiming(2, spoilt('gzip'), 'gzip'), 2],
  ['an lz4 whose inner checksum is wrong', () => claiming(2, spoilt('lz4'), 'lz4'), 2],
  ['bytes that are no snappy', () => claiming(2, randomBytes(200), 'snappy'), 2],
  ['bytes that are no zstd', () => claiming(2, randomBytes(200), 'zstd'), 2],
  ['more than may be inflated', () => claiming(2, bomb(), 'gzip'), 2],
  [
    'millions of records, packed into nothing',
    () => claiming(9_000_000, deflate('gzip', recordsOf(['a'])), 'gzip'),
    9e6,
  ],
]

function spoilt(codec: CompressionName): Buffer {
  const section = deflate(codec, recordsOf(['a'.repeat(500), 'b'.repeat(500)]))
  section[section.length - 5] ^= 0xff
  return section
}

describe('a batch that lies', () => {
  test.each(lies)('%s: passed over and counted', async (_, batch, offsets) => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const partition = stage.partitions.of(queue.topic, 0)!
    await publish(queue, 'before')
    const produced = await partition.produce(queue.topic.policy, batch(), -1)
    expect(isRefusal(produced)).toBe(false)
    await publish(queue, 'after')
    const consumer = consume(queue)
    // What inflates off the loop takes its time.
    await expect.poll(() => consumer.bodies, { timeout: 15_000, interval: 1 }).toEqual(['before', 'after'])
    expect(consumer.got[1].offset).toBe(1 + offsets)
    expect(queue.messages).toBe(0)
    expect(stage.world.trace.counters().get('ledger.closed.malformed')).toBe(offsets)
  })

  test('more records than its bytes can hold: refused', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q')
    const partition = stage.partitions.of(queue.topic, 0)!
    for (const batch of [claiming(100, recordsOf(['a'])), claiming(2 ** 31 - 1, randomBytes(50), 'zstd')])
      expect(await partition.produce(queue.topic.policy, batch, -1)).toMatchObject({ refused: 'invalidRecord' })
  })

  test('goes to the dead letter exchange as it is, once, when the queue has one', async () => {
    const world = testWorld()
    const broker = await openBroker(world, openMemoryStore(world, { bytesMax: 512 * 1024 * 1024 }), {})
    const session = broker.session({ vhost: '/', principal: 'User:ANONYMOUS', clientId: 'test', address: '127.0.0.1' })
    const { queues } = session
    const facts = { durable: true, exclusive: false, autoDelete: false, arguments: [] }
    const text = (name: string, value: string) => ({
      name,
      value: { type: 'text', value: Buffer.from(value) } as const,
    })
    await queues.declareQueue({ ...facts, name: 'dead' })
    await queues.declareQueue({
      ...facts,
      name: 'q',
      arguments: [text('x-dead-letter-exchange', ''), text('x-dead-letter-routing-key', 'dead')],
    })
    const lying = claiming(3, randomBytes(100), 'gzip')
    for (const batch of [testBatch(world.clock), lying, testBatch(world.clock)])
      expect(await session.produce({ topic: { name: 'q' }, partition: 0, batch, acks: -1 })).toHaveProperty(
        'baseOffset',
      )
    const channel = queues.openChannel({ hasRoom: true, deliver: () => undefined, cancelled: () => undefined })
    const get = async (queue: string): Promise<Got | undefined> => {
      const got = await channel.get(queue, true)
      if (isRefusal(got)) throw new Error(got.why)
      return got
    }
    expect([await get('q'), await get('q'), await get('q')].map((got) => got?.body.toString())).toEqual([
      'value 0',
      'value 0',
      undefined,
    ])
    await turns(10)
    const letter = await get('dead')
    const raw = Buffer.from(lying)
    raw.writeBigInt64BE(1n)
    expect(letter?.body).toEqual(raw)
    expect(readBatchHead(letter?.body as Buffer)).toMatchObject({ baseOffset: 1, count: 3 })
    const { headers = [] } = readProperties(letter?.properties ?? noProperties)
    expect(findField(headers, 'x-first-death-reason')).toMatchObject({ value: Buffer.from('malformed') })
    expect(findField(headers, 'x-first-death-queue')).toMatchObject({ value: Buffer.from('q') })
    expect(findField(headers, 'x-source-offset')).toMatchObject({ value: 1 })
    expect(findField(headers, 'x-stream-offset')).toBeUndefined()
    expect(await get('dead')).toBeUndefined()
    expect(world.trace.counters().get('ledger.closed.malformed')).toBe(3)
    expect(world.trace.counters().get('deadletters.malformed')).toBe(1)
    await broker.close()
  })
})

test('control batches are no messages', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  const partition = stage.partitions.of(queue.topic, 0)!
  await publish(queue, 'before')
  const control = claiming(1, recordsOf(['commit marker']), 'none', 0x30)
  sealBatch(control)
  const appended = stage.store.append([partition.entryFor(control, 1, 0)])
  partition.follow(appended)
  await appended
  await publish(queue, 'after')
  const consumer = consume(queue)
  await turns()
  expect(consumer.bodies).toEqual(['before', 'after'])
  expect(stage.world.trace.counters().get('ledger.closed.control')).toBe(1)
})
