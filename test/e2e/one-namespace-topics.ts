// Rows of docs/one-namespace.md: topics that Kafka's clients made, as queues.
// Promises: each row stands alone, on names of its own.
// Does not know: in which broker it runs.

import { expect } from 'vitest'
import { KafkajsClients } from './kafkajs-clients.ts'
import { eventually, type Row } from './one-namespace.ts'

export const topicRows: readonly Row[] = [
  {
    name: 'Kafka-made topic',
    steps: async (sides) => {
      await sides.createTopic('made')
      await sides.produce('made', 'a', 'b')
      // Nobody declared it.
      expect(await sides.refusal((channel) => channel.checkQueue('made'))).toBe('404')
      expect(await sides.refusal((channel) => channel.get('made'))).toBe('404')
      expect(await sides.refusal((channel) => channel.consume('made', () => undefined))).toBe('404')
      // Its messages are those of the whole topic.
      expect(await sides.declare('made', { durable: false, arguments: { 'x-message-ttl': 3_600_000 } })).toBe(2)
      // Durable is what the topic is; arguments are those of the first declaration.
      expect(await sides.declare('made', { durable: true, arguments: { 'x-message-ttl': 3_600_000 } })).toBe(2)
      expect(await sides.refusal((channel) => channel.assertQueue('made'))).toBe('406')
      expect(await sides.refusal((channel) => channel.assertQueue('made', { exclusive: true }))).toBe('405')
      expect(await sides.workOff('made')).toEqual(['a', 'b'])
      await sides.restart()
      await sides.produce('made', 'c')
      await sides.publish('made', 'd')
      expect(await sides.workOff('made')).toEqual(['c', 'd'])
      // Nothing of that is gone for Kafka.
      const records = await sides.read('made', 4)
      expect(records.map(({ offset, value }) => `${offset} ${String(value)}`)).toEqual(['0 a', '1 b', '2 c', '3 d'])
    },
  },
  {
    name: 'Several partitions',
    steps: async (sides) => {
      const produceEach = async (topic: string, partitions: readonly number[]): Promise<void> => {
        // kafkajs drops what is for partitions it does not know yet: a client of its own each time.
        const clients = new KafkajsClients(sides.place.address)
        const producer = await clients.producer()
        const messages = partitions.map((partition) => ({ partition, value: `${topic} ${partition}` }))
        await producer.send({ topic, messages })
        await clients.close()
      }
      await sides.createTopic('parts', {}, 3)
      await produceEach('parts', [0, 1, 2])
      const wrong = { arguments: { 'x-partitions': 2 } }
      expect(await sides.refusal((channel) => channel.assertQueue('parts', wrong))).toBe('406')
      expect(await sides.declare('parts')).toBe(3)
      await sides.declare('parts-audit', { arguments: { 'x-log': 'parts' } })
      expect((await sides.workOff('parts')).toSorted()).toEqual(['parts 0', 'parts 1', 'parts 2'])
      // More of them, while the queues are there.
      const admin = await sides.admin()
      await admin.createPartitions({ topicPartitions: [{ topic: 'parts', count: 5 }] })
      await produceEach('parts', [3, 4])
      expect((await sides.workOff('parts')).toSorted()).toEqual(['parts 3', 'parts 4'])
      await sides.restart()
      await produceEach('parts', [4])
      expect(await sides.workOff('parts')).toEqual(['parts 4'])
      expect((await sides.workOff('parts-audit')).length).toBe(6)
      // Made from the other side.
      const options = { arguments: { 'x-partitions': 2 } }
      await sides.declare('parts-amqp', options)
      await sides.publish('parts-amqp', 'a')
      await sides.publish('parts-amqp', 'b')
      expect([await sides.bounds('parts-amqp', 0), await sides.bounds('parts-amqp', 1)]).toEqual([
        { low: 0, high: 1 },
        { low: 0, high: 1 },
      ])
      const grown = await sides.admin()
      await grown.createPartitions({ topicPartitions: [{ topic: 'parts-amqp', count: 3 }] })
      await produceEach('parts-amqp', [2])
      expect(await sides.declare('parts-amqp', options)).toBe(3)
    },
  },
  {
    name: 'Where a queue begins',
    steps: async (sides) => {
      const inSeconds = (): number => Math.floor(Date.now() / 1000)
      const starts: readonly (readonly [topic: string, start: () => unknown, wanted: readonly string[]])[] = [
        ['from-unsaid', () => undefined, ['a', 'b', 'c', 'd']],
        ['from-first', () => 'first', ['a', 'b', 'c', 'd']],
        ['from-next', () => 'next', ['d']],
        ['from-1', () => 1, ['b', 'c', 'd']],
        ['from-beyond', () => 4711, ['d']],
        ['from-time', () => ({ '!': 'timestamp', value: inSeconds() }), ['c', 'd']],
      ]
      for (const [topic] of starts) {
        await sides.createTopic(topic)
        await sides.produce(topic, 'a', 'b')
      }
      const before = inSeconds()
      await eventually('another second', () => Promise.resolve(inSeconds() > before))
      for (const [topic, start] of starts) {
        await sides.produce(topic, 'c')
        const said = start()
        await sides.declare(topic, { arguments: said === undefined ? {} : { 'x-start': said } })
        // Decided when it was declared, whatever comes between, and kept.
        await sides.produce(topic, 'd')
      }
      await sides.restart()
      for (const [topic, , wanted] of starts)
        expect([topic, ...(await sides.workOff(topic))]).toEqual([topic, ...wanted])
      expect(await sides.refusal((channel) => channel.assertQueue('n', { arguments: { 'x-start': 'now' } }))).toBe(
        '406',
      )
      expect(await sides.refusal((channel) => channel.assertQueue('n', { arguments: { 'x-start': -1 } }))).toBe('406')
    },
  },
  {
    name: 'Deleting',
    steps: async (sides) => {
      const admin = await sides.admin()
      await sides.createTopic('stays')
      await sides.produce('stays', 'a', 'b')
      await sides.declare('stays')
      expect(await sides.workOff('stays')).toEqual(['a', 'b'])
      const channel = await sides.channel()
      const watching = await sides.consume(channel, 'stays')
      await (await sides.channel()).deleteQueue('stays')
      await watching.until('a cancel', (all) => all.includes('cancelled'))
      // The queue is gone, the topic is not; who declares again begins again.
      expect(await sides.refusal((other) => other.checkQueue('stays'))).toBe('404')
      expect(await sides.bounds('stays')).toEqual({ low: 0, high: 2 })
      expect(await sides.declare('stays', { autoDelete: true })).toBe(2)
      const { consumerTag } = await channel.consume('stays', () => undefined)
      await channel.cancel(consumerTag)
      await eventually('auto-delete', async () => (await sides.refusal((one) => one.checkQueue('stays'))) === '404')
      await sides.declare('stays', { arguments: { 'x-expires': 50 } })
      // Who asks for a queue uses it; Kafka's side only looks.
      await eventually('x-expires', async () => (await sides.settings('stays'))['queue.type'] === undefined)
      expect(await sides.refusal((one) => one.checkQueue('stays'))).toBe('404')
      expect((await sides.read('stays', 2)).map(({ value }) => String(value))).toEqual(['a', 'b'])
      // Kafka's admin takes topic and queue.
      await sides.declare('stays')
      const again = await sides.consume(channel, 'stays')
      await admin.deleteTopics({ topics: ['stays'] })
      await again.until('a cancel', (all) => all.includes('cancelled'))
      expect(await sides.refusal((one) => one.checkQueue('stays'))).toBe('404')
      // What AMQP's clients made goes whole.
      await sides.declare('whole')
      await sides.publish('whole', 'a')
      await (await sides.channel()).deleteQueue('whole')
      expect(await sides.topics()).not.toContain('whole')
      await sides.declare('whole')
      await admin.deleteTopics({ topics: ['whole'] })
      expect(await sides.refusal((one) => one.checkQueue('whole'))).toBe('404')
    },
  },
  {
    name: 'A name is taken once',
    steps: async (sides) => {
      const admin = await sides.admin()
      const owner = await sides.connect()
      const own = await sides.channel(owner)
      await own.assertQueue('taken-own', { exclusive: true })
      await own.assertQueue('taken-transient', { durable: false })
      await own.assertQueue('taken-durable', { durable: true })
      await own.assertQueue('taken-stream', { durable: true, arguments: { 'x-queue-type': 'stream' } })
      // What kafkajs makes of TOPIC_ALREADY_EXISTS.
      for (const topic of ['taken-own', 'taken-transient', 'taken-durable', 'taken-stream'])
        expect([topic, await admin.createTopics({ topics: [{ topic }] })]).toEqual([topic, false])
      expect(await sides.refusal((channel) => channel.assertQueue('taken-own'))).toBe('405')
      expect(await sides.refusal((channel) => channel.assertQueue('taken-transient', { durable: true }))).toBe('406')
      expect(await sides.refusal((channel) => channel.assertQueue('taken-durable', { durable: false }))).toBe('406')
      await owner.close()
      await eventually('its end', async () => (await sides.refusal((one) => one.checkQueue('taken-own'))) === '404')
      await sides.createTopic('taken-own')
    },
  },
]
