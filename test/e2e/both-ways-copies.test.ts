// What a record or message is after the broker itself moved it: dead letters, copies of
// exchanges that remember, delays.
// Promises: key, value or none, and headers stay, whoever wrote them; a copy does not claim to lie where the first did.
// Does not know: which messages are moved, and when.

import amqp, { type ChannelModel, type ConfirmChannel, type ConsumeMessage } from 'amqplib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KafkajsClients } from './kafkajs-clients.ts'
import { Arrivals, openPlace, within, type Place } from './place.ts'

let place: Place
let clients: KafkajsClients
let client: ChannelModel
let channel: ConfirmChannel
let names = 0
beforeAll(async () => {
  place = await openPlace('memory:')
  clients = new KafkajsClients(place.address)
  client = await amqp.connect(place.url)
  channel = await client.createConfirmChannel()
})
afterAll(async () => {
  await client.close()
  await clients.close()
  await place.close()
})

const tombstone = { headers: { 'x-key': 'order-7', 'x-tombstone': true, trace: 'abc' } }

async function produce(topic: string): Promise<void> {
  const producer = await clients.producer()
  await producer.send({ topic, messages: [{ key: 'order-7', value: null, headers: { trace: 'abc' } }] })
}

async function publish(exchange: string, key: string, headers: Record<string, unknown> = {}): Promise<void> {
  channel.publish(exchange, key, Buffer.alloc(0), { headers: { ...tombstone.headers, ...headers } })
  await within('the confirm', channel.waitForConfirms())
}

async function takeOne(queue: string, settle: 'ack' | 'reject' = 'ack'): Promise<ConsumeMessage> {
  const arrived = new Arrivals<ConsumeMessage>()
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) return
    if (settle === 'ack') channel.ack(message)
    else channel.reject(message, false)
    arrived.add(message)
  })
  const [one] = await arrived.until('a message', ({ length }) => length > 0)
  await channel.cancel(consumerTag)
  return one
}

/** The first record, and the names of its headers. */
async function readOne(topic: string) {
  const consumer = await clients.consumer(`readers of ${topic}`)
  const [{ key, value, headers }] = await (
    await clients.receive(consumer, topic)
  ).until('a record', ({ length }) => length > 0)
  return { key: key?.toString(), value, trace: String(headers?.trace), names: Object.keys(headers ?? {}) }
}

const ways: readonly (readonly [
  what: string,
  begin: (queue: string, write: (queue: string) => Promise<void>) => Promise<void>,
])[] = [
  [
    'dead-lettered to a queue',
    async (queue, write) => {
      await channel.assertQueue(`${queue}.first`, {
        arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': queue },
      })
      await write(`${queue}.first`)
      await takeOne(`${queue}.first`, 'reject')
    },
  ],
  [
    'dead-lettered to a topic, which a queue is declared over',
    async (queue, write) => {
      await channel.assertQueue(`${queue}.first`, { arguments: { 'x-dead-letter-topic': queue } })
      await write(`${queue}.first`)
      await takeOne(`${queue}.first`, 'reject')
    },
  ],
  [
    'copied by an exchange that remembers',
    async (queue, write) => {
      await channel.assertExchange(`${queue}.log`, 'x-log', { durable: true })
      await channel.bindQueue(queue, `${queue}.log`, '#')
      await write(`${queue}.log`)
    },
  ],
]
const writers: readonly (readonly [by: string, write: (queue: string) => Promise<void>])[] = [
  ['a Kafka client', produce],
  [
    'an AMQP client',
    async (name) => {
      // Whichever of the two it is.
      if (name.endsWith('.log')) await publish(name, 'order-7')
      else await publish('', name)
    },
  ],
]

describe.each(writers)('a tombstone with a key, by %s', (_, write) => {
  test.each(ways)('%s', async (_what, begin) => {
    const queue = `copies-${++names}`
    await channel.assertQueue(queue)
    await begin(queue, write)
    const record = await readOne(queue)
    expect(record).toMatchObject({ key: 'order-7', value: null, trace: 'abc' })
    for (const name of ['x-partition', 'x-stream-offset']) expect(record.names).not.toContain(name)
    const { properties, content } = await takeOne(queue)
    expect(properties.headers).toMatchObject(tombstone.headers)
    for (const name of ['x-partition', 'x-stream-offset']) expect(properties.headers).not.toHaveProperty([name])
    expect(content).toHaveLength(0)
  })
})

test('a tombstone through an exchange that delays', async () => {
  const queue = `copies-${++names}`
  await channel.assertQueue(queue)
  await channel.assertExchange('later', 'x-delayed-message', { arguments: { 'x-delayed-type': 'fanout' } })
  await channel.bindQueue(queue, 'later', '')
  await publish('later', '', { 'x-delay': 20 })
  expect(await readOne(queue)).toMatchObject({ key: 'order-7', value: null })
  expect((await takeOne(queue)).properties.headers).toMatchObject({ ...tombstone.headers, 'x-delay': -20 })
})

test("a place that a publisher's own headers tell is his in a plain queue, and the broker's elsewhere", async () => {
  const lie = { 'x-partition': 9, 'x-stream-offset': 9 }
  const [plain, wide] = [`copies-${++names}`, `copies-${++names}`]
  await channel.assertQueue(plain)
  await channel.assertQueue(wide, { arguments: { 'x-partitions': 2 } })
  for (const queue of [plain, wide]) await publish('', queue, lie)
  expect((await takeOne(plain)).properties.headers).toMatchObject(lie)
  const { headers } = (await takeOne(wide)).properties
  expect([headers?.['x-stream-offset'], Number(headers?.['x-partition']) < 2]).toEqual([0, true])
})
