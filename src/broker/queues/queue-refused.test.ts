// Tests of a queue whose storage refuses, or drops what the queue still has.
// Promises: commits and failures happen when a test says so.
// Does not know: channels; random walks are queue-model.test.ts.

import { expect, test } from 'vitest'
import { AppendFailure, logId, offset } from '../../log/store.ts'
import { turns } from '../broker-world.contract.ts'
import { isRefusal } from '../errors.ts'
import type { Queue } from './queue.ts'
import { consume, publish, QueueStage, testMessage } from './queue-stage.contract.ts'

const tenBytes = '0123456789'

async function publishEach(queue: Queue, count: number): Promise<void> {
  for (let left = count; left > 0; left--) expect(await publish(queue, tenBytes)).toBe('stored')
  await turns()
}

test('an append of others is refused with what the queue was given in that turn, and nothing breaks', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  const { store } = stage
  const append = store.append.bind(store)
  store.append = () => Promise.reject(new AppendFailure('full', 'no room'))
  const receipt = queue.add(testMessage('a'))
  const entries = queue.entriesFor([testMessage('b')])
  store.append = append
  const outcome = stage.ledgers.append(entries)
  queue.appended(outcome)
  await expect(outcome).rejects.toThrow('ends elsewhere')
  expect(isRefusal(receipt) ? undefined : receipt.state).toBe('refused')
  expect(await publish(queue, 'c')).toBe('stored')
  const consumer = consume(queue)
  await turns()
  expect(consumer.bodies).toEqual(['c'])
})

test('a purge that could not be stored is refused, and what it closed is there again', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q')
  await publishEach(queue, 3)
  stage.store.manual = true
  const purging = queue.purge()
  await turns()
  stage.store.fail('full')
  stage.store.manual = false
  const refused = await purging
  expect(isRefusal(refused) && refused.refused).toBe('storageFailed')
  await turns()
  expect(queue.messages).toBe(3)
})

test('the bytes of a queue are counted again when the log drops messages that were not settled', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q', { lengthBytesMax: 100 })
  await publishEach(queue, 10)
  const log = stage.store.logs.get(logId(queue.topic.id, 0))!
  await log.trim(offset(5))
  await turns()
  await publishEach(queue, 5)
  expect(queue.messages).toBe(10)
  await publishEach(queue, 1)
  expect(queue.messages).toBe(10)
})

test('the bytes of a queue are counted again when what was taken is there again', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q', { lengthBytesMax: 100 })
  await publishEach(queue, 5)
  stage.store.manual = true
  const consumer = consume(queue, { noAck: true, credit: 5 })
  await turns()
  expect([consumer.got.length, queue.messages]).toEqual([5, 0])
  stage.store.fail('full')
  stage.store.manual = false
  queue.cancel(consumer)
  await turns()
  expect(queue.messages).toBe(5)
  await publishEach(queue, 6)
  expect(queue.messages).toBe(10)
})

test('priorities that were refused are not those of the messages that come in their places', async () => {
  const stage = await QueueStage.open()
  const topic = stage.topic.bind(stage)
  stage.topic = (vhost, name) => ({ ...topic(vhost, name), isVolatile: true })
  const queue = await stage.queue('q', { priorityMax: 9 })
  stage.store.manual = true
  queue.add(testMessage('refused', { priority: 9 }))
  await turns()
  stage.store.fail('full')
  stage.store.manual = false
  await turns()
  await publish(queue, testMessage('low', { priority: 0 }), testMessage('middle', { priority: 3 }))
  const consumer = consume(queue)
  await turns()
  expect(consumer.bodies).toEqual(['middle', 'low'])
})
