// Tests of delayed retry, on a queue over the stub store.
// Promises: what comes back waits, others pass it by, and it is ready again when it is due and not before.
// Does not know: how long a delay comes to (retry-delay.test.ts).

import { describe, expect, test } from 'vitest'
import { readProperties } from '../../../base/properties.ts'
import { testWorld, turns } from '../../broker-world.contract.ts'
import { isRefusal } from '../../errors.ts'
import type { RetryPolicy } from '../facts.ts'
import { Retries, retriesMax } from './queue-retries.ts'
import type { Queue } from '../queue.ts'
import { consume, publish, QueueStage } from '../queue-stage.contract.ts'

const retry: RetryPolicy = { of: 'all', backoff: 'linear', minMs: 1000, maxMs: 2500, jitter: 0 }

/** So many messages are published, handed out and come back. */
async function comeBack(queue: Queue, count: number): Promise<void> {
  await publish(queue, ...Array.from({ length: count }, () => 'x'))
  const consumer = consume(queue)
  while (consumer.got.length < count) await turns()
  queue.cancel(consumer)
  for (const { offset } of consumer.got) queue.lanes[0].giveBack(offset, true)
}

describe('what comes back', () => {
  test('waits longer each time, and the others pass it by', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry })
    await publish(queue, 'bad', 'good')
    const consumer = consume(queue, { credit: 1 })
    await turns()
    for (const delayMs of [1000, 2000, 2500, 2500]) {
      queue.lanes[0].giveBack(0, true)
      consumer.credit = 1
      queue.resume()
      await turns()
      expect([queue.messages, queue.delayed, queue.unacknowledged]).toEqual([0, 1, consumer.got.length > 1 ? 1 : 0])
      stage.world.clock.advance(delayMs - 1)
      await turns()
      const before = consumer.got.length
      stage.world.clock.advance(1)
      consumer.credit = 1
      await turns()
      expect(consumer.got.length).toBe(before + 1)
      expect(queue.delayed).toBe(0)
    }
    expect(consumer.bodies).toEqual(['bad', 'good', 'bad', 'bad', 'bad', 'bad'])
    const { headers = [] } = readProperties(consumer.got.at(-1)!.properties)
    expect(headers).toContainEqual({ name: 'x-delivery-count', value: { type: 'int64', value: 4 } })
  })

  test.each([
    ['failed', true, 1],
    ['failed', false, 0],
    ['returned', true, 0],
    ['returned', false, 1],
    ['all', true, 1],
    ['all', false, 1],
  ] as const)('of type %s, counting %s: %i wait', async (of, counts, delayed) => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry: { ...retry, of } })
    await publish(queue, 'a')
    await queue.take(false)
    queue.lanes[0].giveBack(0, counts)
    expect([queue.delayed, queue.messages]).toEqual([delayed, 1 - delayed])
  })

  test('is dead-lettered at the limit, also of a classic queue', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry, deliveryLimit: 1, deadLetterExchange: 'dlx' })
    await publish(queue, 'a')
    await queue.take(false)
    queue.lanes[0].giveBack(0, true)
    stage.world.clock.advance(1000)
    await queue.take(false)
    queue.lanes[0].giveBack(0, true)
    await turns()
    expect(stage.letters).toEqual([{ queue: 'q', offsets: [0], reason: 'delivery_limit' }])
    expect(queue.delayed).toBe(0)
  })

  test('goes with a purge, and with the queue', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry })
    await publish(queue, 'a', 'b', 'c')
    await queue.take(false)
    queue.lanes[0].giveBack(0, true)
    const purging = queue.purge()
    await turns()
    stage.store.commit()
    expect(await purging).toBe(3)
    stage.world.clock.advance(5000)
    await turns()
    expect([queue.messages, queue.delayed, queue.unacknowledged]).toEqual([0, 0, 0])
    await publish(queue, 'd')
    await queue.take(false)
    queue.lanes[0].giveBack(3, true)
    queue.drop('queueDeleted')
    stage.world.clock.advance(5000)
  })

  test('goes with what retention drops', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry })
    await publish(queue, 'a', 'b')
    await queue.take(false)
    queue.lanes[0].giveBack(0, true)
    queue.lanes[0].log.ledger.closeBelow(1, 'retention')
    queue.lanes[0].rules.extended(true)
    expect([queue.messages, queue.delayed, queue.unacknowledged]).toEqual([1, 0, 0])
    stage.world.clock.advance(5000)
    expect(queue.messages).toBe(1)
  })

  test('expires when its wait is over', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry, messageTtlMs: 500, deadLetterExchange: 'dlx' })
    await publish(queue, 'a')
    await queue.take(false)
    queue.lanes[0].giveBack(0, true)
    stage.world.clock.advance(1000)
    await turns()
    stage.world.clock.advance(1)
    await turns()
    expect(stage.letters).toEqual([{ queue: 'q', offsets: [0], reason: 'expired' }])
  })

  test('pushes the head out when it is ready again', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry, lengthMax: 1 })
    await publish(queue, 'a')
    await queue.take(false)
    queue.lanes[0].giveBack(0, true)
    await publish(queue, 'b')
    expect([queue.messages, queue.delayed]).toEqual([1, 1])
    stage.world.clock.advance(1000)
    await turns()
    expect([queue.messages, queue.delayed]).toEqual([1, 0])
    expect(await queue.take(true)).toMatchObject({ offset: 1 })
  })

  test('is ready at once when the policy goes', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry })
    await publish(queue, 'a')
    await queue.take(false)
    queue.lanes[0].giveBack(0, true)
    queue.setPolicy({ ...queue.policy, retry: undefined })
    expect([queue.messages, queue.delayed]).toEqual([1, 0])
  })

  test('is ready again turn by turn when the policy goes and very many wait', async () => {
    const stage = await QueueStage.open()
    const queue = await stage.queue('q', { retry })
    await comeBack(queue, 3000)
    queue.setPolicy({ ...queue.policy, retry: undefined })
    expect([queue.messages, queue.delayed]).toEqual([1024, 1976])
    for (let at = 0; at < 2; at++) stage.world.clock.advance(0)
    expect([queue.messages, queue.delayed]).toEqual([3000, 0])
    expect(await queue.take(false)).toMatchObject({ offset: 0 })
  })

  test('waits anew after a restart turn by turn when there is very much, and nothing is given out before', async () => {
    const stage = await QueueStage.open()
    let queue = await stage.queue('q', { retry })
    await comeBack(queue, 20_000)
    await publish(queue, 'other')
    await stage.settle()
    stage.store.commit()
    await stage.settle()
    await stage.crash()
    queue = await stage.queue('q')
    const consumer = consume(queue)
    expect([queue.messages, queue.delayed]).toEqual([15_905, 4096])
    // Taken before it is its turn to wait.
    const [soon] = queue.lanes[0].readyFrom(0, 20_000, 1)
    expect(queue.lanes[0].hold(soon, 1)).toBe(true)
    await turns()
    expect(queue.delayed).toBe(19_999)
    expect(consumer.bodies).toEqual(['other'])
    stage.world.clock.advance(999)
    await turns()
    expect(consumer.got.length).toBe(1)
    for (let at = 0; at < 30; at++) stage.world.clock.advance(1)
    while (consumer.got.length < 20_000) await turns()
  })

  test('waits anew after a restart, when it counted', async () => {
    const stage = await QueueStage.open()
    let queue = await stage.queue('q', { retry })
    await publish(queue, 'a', 'b', 'c')
    for (const counts of [true, false]) {
      await queue.take(false)
      queue.lanes[0].giveBack(counts ? 0 : 1, counts)
    }
    stage.world.clock.advance(900)
    await stage.settle()
    stage.store.commit()
    await stage.settle()
    await stage.crash()
    queue = await stage.queue('q')
    expect([queue.messages, queue.delayed]).toEqual([2, 1])
    stage.world.clock.advance(999)
    await turns()
    expect(queue.delayed).toBe(1)
    stage.world.clock.advance(1)
    await turns()
    expect(queue.messages).toBe(3)
    expect(await queue.take(false)).toMatchObject({ offset: 0, redelivered: true })
  })
})

test('when too many wait nothing more is given out until one is due', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q', { retry })
  for (let at = 0; at <= retriesMax; at += 5000) await publish(queue, ...Array.from({ length: 5000 }, () => 'x'))
  const consumer = consume(queue)
  for (let at = 0; at < 10 && queue.delayed < retriesMax; at++) {
    await turns(20)
    for (const { offset } of consumer.got.splice(0)) queue.lanes[0].giveBack(offset, true)
  }
  await turns()
  consumer.got.length = 0
  const held = queue.messages
  await turns(20)
  expect(queue.delayed).toBeGreaterThanOrEqual(retriesMax)
  expect(queue.messages).toBe(held)
  expect(consumer.got).toEqual([])
  expect(stage.world.trace.counters().get('retries.full')).toBe(1)
  for (let ms = 1000; queue.delayed > 0; ms = 0) stage.world.clock.advance(ms)
  await turns(20)
  expect(consumer.got.length).toBeGreaterThan(0)
})

test('how often a message was handed out is told, however many before it were purged or taken for good', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q', { type: 'quorum' })
  await comeBack(queue, 100_000)
  const purging = queue.purge()
  await turns()
  stage.store.commit()
  await purging
  await comeBack(queue, 100_000)
  const last = consume(queue, { noAck: true })
  while (last.got.length < 100_000) await turns()
  queue.cancel(last)
  await publish(queue, 'a')
  for (let at = 0; at < 3; at++) {
    const taken = await queue.take(false)
    if (taken === undefined || isRefusal(taken)) throw new Error('it is there')
    const { headers = [] } = readProperties(taken.properties)
    if (at > 0) expect(headers).toContainEqual({ name: 'x-acquired-count', value: { type: 'int64', value: at } })
    queue.lanes[0].giveBack(taken.offset, false)
  }
})

test('what is forgotten takes no memory for long, whatever its delay is', () => {
  const { clock } = testWorld()
  const due: number[] = []
  const retries = new Retries({ clock, due: (offset) => void due.push(offset) })
  retries.park(1, 5)
  for (let offset = 2; offset < 20_000; offset++) {
    retries.park(offset, 1e9 + offset)
    retries.forget(offset)
    expect(retries.entries).toBeLessThan(2000)
  }
  retries.park(0, 4)
  clock.advance(5)
  expect([due, retries.count]).toEqual([[0, 1], 0])
})

test('a lane that was full gives out again when retention takes what waits', async () => {
  const stage = await QueueStage.open()
  const queue = await stage.queue('q', { retry: { ...retry, minMs: 1e9, maxMs: 1e9 } })
  for (let at = 0; at <= retriesMax; at += 5000) await publish(queue, ...Array.from({ length: 5000 }, () => 'x'))
  const consumer = consume(queue)
  while (queue.delayed < retriesMax) {
    await turns(20)
    for (const { offset } of consumer.got.splice(0)) queue.lanes[0].giveBack(offset, true)
  }
  consumer.got.length = 0
  await publish(queue, 'later')
  await turns(20)
  expect(consumer.got).toEqual([])
  queue.lanes[0].rules.retire(retriesMax, 10_000)
  await turns(20)
  expect(consumer.bodies).toContain('later')
})
