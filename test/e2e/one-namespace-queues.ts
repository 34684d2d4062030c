// Rows of docs/one-namespace.md: queues that RabbitMQ's clients made, as topics.
// Promises: each row stands alone, on names of its own.
// Does not know: in which broker it runs.

import { expect } from 'vitest'
import { eventually, type Row, type Sides } from './one-namespace.ts'

/** Segments so small that a few messages fill one: what is dropped is dropped by segments. */
const small = { 'segment.bytes': '1024' }
const bodies = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `${at} `.padEnd(300, '.'))

/** One batch a message. */
async function publishEach(sides: Sides, queue: string, count: number): Promise<void> {
  for (const body of bodies(count)) await sides.publish(queue, body)
}

const trimmed = (sides: Sides, topic: string): Promise<void> =>
  eventually(`a trim of ${topic}`, async () => (await sides.bounds(topic)).low > 0)

/** What was worked off before this is trimmed by the time it resolves, if it is to be trimmed at all. */
async function aLook(sides: Sides): Promise<void> {
  const queue = `look-${Math.random().toString(36).slice(2)}`
  await sides.declare(queue)
  await sides.alter(queue, small)
  await publishEach(sides, queue, 8)
  await sides.workOff(queue)
  await trimmed(sides, queue)
}

export const queueRows: readonly Row[] = [
  {
    name: 'AMQP-made durable queue',
    steps: async (sides) => {
      await sides.declare('orders')
      expect(await sides.topics()).toContain('orders')
      const settings = await sides.settings('orders')
      expect(settings).toMatchObject({ 'cleanup.policy': 'consumed', 'retention.ms': '0', 'queue.type': 'classic' })
      expect(Number(settings['max.message.bytes'])).toBeGreaterThanOrEqual(16 * 1024 * 1024)
      // Other settings leave those of the declaration alone.
      await sides.alter('orders', small)
      expect(await sides.settings('orders')).toMatchObject({ 'cleanup.policy': 'consumed', ...small })
      await sides.produce('orders', 'of Kafka')
      await sides.publish('orders', 'of AMQP')
      expect((await sides.read('orders', 2, 'early')).map(({ value }) => String(value))).toEqual([
        'of Kafka',
        'of AMQP',
      ])
      expect(await sides.workOff('orders')).toEqual(['of Kafka', 'of AMQP'])
      // The log's start follows the lowest that is not acknowledged.
      await publishEach(sides, 'orders', 10)
      const holding = await sides.channel()
      const first = await holding.get('orders')
      for (let at = 1; at < 6; at++) {
        const got = await holding.get('orders')
        if (got !== false) holding.ack(got)
      }
      await aLook(sides)
      expect((await sides.bounds('orders')).low).toBeLessThanOrEqual(2)
      if (first !== false) holding.ack(first)
      await eventually('a trim', async () => (await sides.bounds('orders')).low > 2)
      const { low, high } = await sides.bounds('orders')
      expect([low <= 8, high]).toEqual([true, 12])
      // A group that stood before it goes on where the log begins now.
      const rest = await sides.read('orders', high - low, 'early')
      expect(rest.map(({ offset }) => Number(offset))).toEqual(Array.from({ length: high - low }, (_, at) => low + at))
      await sides.restart()
      expect(await sides.bounds('orders')).toEqual({ low, high })
      expect(await sides.workOff('orders')).toEqual(bodies(10).slice(6))
    },
  },
  {
    name: 'Keeping what is acknowledged',
    steps: async (sides) => {
      await sides.declare('kept', { arguments: { 'x-retention': '1h' } })
      expect(await sides.settings('kept')).toMatchObject({ 'cleanup.policy': 'consumed', 'retention.ms': '3600000' })
      expect(await sides.refusal((channel) => channel.assertQueue('kept'))).toBe('406')
      expect(await sides.declare('kept', { arguments: { 'x-retention': '1h' } })).toBe(0)
      await sides.alter('kept', small)
      await publishEach(sides, 'kept', 10)
      expect(await sides.workOff('kept')).toHaveLength(10)
      await aLook(sides)
      expect(await sides.bounds('kept')).toEqual({ low: 0, high: 10 })
      expect(await sides.read('kept', 10)).toHaveLength(10)
      // What an admin of Kafka's says counts, also after a restart.
      await sides.alter('kept', { ...small, 'retention.ms': '1' })
      await sides.restart()
      await trimmed(sides, 'kept')
      // By size.
      await sides.declare('sized', { arguments: { 'x-retention': 3_600_000 } })
      await sides.alter('sized', { ...small, 'retention.bytes': '2000' })
      await publishEach(sides, 'sized', 10)
      await sides.workOff('sized')
      await trimmed(sides, 'sized')
      const { low } = await sides.bounds('sized')
      expect(low).toBeLessThan(7)
      await sides.createTopic('kept-of-kafka')
      const wanted = { arguments: { 'x-retention': '1h' } }
      expect(await sides.refusal((channel) => channel.assertQueue('kept-of-kafka', wanted))).toBe('406')
    },
  },
  {
    name: 'Holding for groups',
    steps: async (sides) => {
      await sides.declare('held')
      await sides.alter('held', { ...small, 'consumed.hold.groups': 'auditor' })
      await publishEach(sides, 'held', 10)
      await sides.workOff('held')
      await aLook(sides)
      expect((await sides.bounds('held')).low).toBe(0)
      expect(await sides.read('held', 10, 'auditor')).toHaveLength(10)
      await trimmed(sides, 'held')
      // It says something of consumed topics alone.
      await sides.createTopic('held-not')
      await expect(sides.alter('held-not', { 'consumed.hold.groups': 'auditor' })).rejects.toThrow()
    },
  },
  {
    name: 'Kafka-made topic, consumed',
    steps: async (sides) => {
      await sides.createTopic('consumed', { 'cleanup.policy': 'consumed', ...small })
      for (const body of bodies(10)) await sides.produce('consumed', body)
      await aLook(sides)
      // Nobody works it off.
      expect(await sides.bounds('consumed')).toEqual({ low: 0, high: 10 })
      expect(await sides.declare('consumed')).toBe(10)
      expect(await sides.workOff('consumed')).toEqual(bodies(10))
      await trimmed(sides, 'consumed')
    },
  },
  {
    name: 'Stream made by AMQP',
    steps: async (sides) => {
      const declaration = { 'x-queue-type': 'stream', 'x-max-age': '7D', 'x-max-length-bytes': 1_000_000 }
      await sides.declare('stream', { arguments: declaration })
      const told = { 'cleanup.policy': 'delete', 'retention.ms': '604800000', 'retention.bytes': '1000000' }
      expect(await sides.settings('stream')).toMatchObject({ ...told, 'queue.type': 'stream' })
      await sides.alter('stream', small)
      expect(await sides.settings('stream')).toMatchObject({ ...told, ...small })
      await publishEach(sides, 'stream', 9)
      await sides.produce('stream', 'of Kafka')
      expect(await sides.read('stream', 10)).toHaveLength(10)
      const channel = await sides.channel()
      await channel.prefetch(100)
      const all = await sides.consume(channel, 'stream', { arguments: { 'x-stream-offset': 'first' } })
      expect(await all.until('the stream', ({ length }) => length === 10)).toEqual([...bodies(9), 'of Kafka'])
      // Retention is what an admin of Kafka's says last.
      await sides.alter('stream', { ...small, 'retention.bytes': '1500' })
      await trimmed(sides, 'stream')
      expect(await sides.declare('stream', { arguments: declaration })).toBeLessThan(10)
    },
  },
  {
    name: 'Transient queue with a name',
    steps: async (sides) => {
      await sides.declare('passing', { durable: false })
      expect(await sides.topics()).toContain('passing')
      expect(await sides.settings('passing')).toMatchObject({ durability: 'scratch', 'cleanup.policy': 'consumed' })
      await sides.produce('passing', 'a')
      await sides.publish('passing', 'b')
      expect((await sides.read('passing', 2)).map(({ value }) => String(value))).toEqual(['a', 'b'])
      expect(await sides.workOff('passing')).toEqual(['a', 'b'])
      expect(await sides.refusal((channel) => channel.assertQueue('passing', { durable: true }))).toBe('406')
      await sides.restart()
      expect(await sides.topics()).not.toContain('passing')
      expect(await sides.refusal((channel) => channel.checkQueue('passing'))).toBe('404')
    },
  },
  {
    name: 'Not listed',
    steps: async (sides) => {
      const channel = await sides.channel()
      await channel.assertQueue('hidden-own', { exclusive: true })
      const { queue } = await channel.assertQueue('', { durable: false })
      const names = ['hidden-own', queue, 'hidden/slash', 'hidden space', 'hïdden', 'h'.repeat(250)]
      for (const name of names.slice(2)) await channel.assertQueue(name, { durable: true })
      for (const name of names) {
        channel.sendToQueue(name, Buffer.from(name))
        await channel.waitForConfirms()
        const got = await channel.get(name, { noAck: true })
        expect(got !== false && got.content.toString()).toBe(name)
        expect(await sides.topics()).not.toContain(name)
        await expect(sides.settings(name)).rejects.toThrow()
        await expect(sides.alter(name, { 'retention.ms': '1' })).rejects.toThrow()
        await expect(sides.commit(name, 0)).rejects.toThrow()
      }
    },
  },
]
