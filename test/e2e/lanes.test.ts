// A queue over several partitions: kafkajs produces to a topic of three, amqplib works it off from one queue.
// Promises: real sockets; every wait ends with its event or fails.
// Does not know: how lanes are merged.

import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, Sides } from './one-namespace.ts'
import { Arrivals, within } from './place.ts'
import { KafkajsClients } from './kafkajs-clients.ts'

let sides: Sides
beforeAll(async () => {
  sides = await Sides.open()
})
afterAll(() => sides.close())

const partitions = [0, 1, 2] as const

/** `count` records to each of three partitions: `partition:number`. */
async function produceEach(topic: string, from: number, count: number): Promise<void> {
  const clients = new KafkajsClients(sides.place.address)
  const producer = await clients.producer()
  const messages = partitions.flatMap((partition) =>
    Array.from({ length: count }, (_, at) => ({ partition, key: `k${partition}`, value: `${partition}:${from + at}` })),
  )
  await producer.send({ topic, messages })
  await clients.close()
}

async function consume(channel: ConfirmChannel, queue: string): Promise<Arrivals<ConsumeMessage>> {
  const arrivals = new Arrivals<ConsumeMessage>()
  await channel.consume(queue, (message) => {
    if (message !== null) arrivals.add(message)
  })
  return arrivals
}

const bodies = (messages: readonly ConsumeMessage[]): string[] => messages.map(({ content }) => content.toString())
const ofPartition = (all: readonly string[], partition: number): string[] =>
  all.filter((body) => body.startsWith(`${partition}:`))
const numbered = (partition: number, from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, at) => `${partition}:${from + at}`)

test('three partitions, one queue: each in its order, and what is acknowledged stays so', async () => {
  await sides.createTopic('orders', {}, 3)
  await produceEach('orders', 0, 20)
  expect(await sides.declare('orders')).toBe(60)
  const channel = await sides.channel()
  await channel.prefetch(30)
  const arrivals = await consume(channel, 'orders')
  // Nobody is given more than his credit, of whatever partition; all partitions have their share of it.
  const first = await arrivals.until('thirty', (all) => all.length >= 30)
  expect(first.length).toBe(30)
  for (const partition of partitions)
    expect(ofPartition(bodies(first), partition)).toEqual(
      numbered(partition, 0, ofPartition(bodies(first), partition).length),
    )
  expect(partitions.map((partition) => ofPartition(bodies(first), partition).length > 0)).toEqual([true, true, true])
  for (const message of first.slice(0, 10)) channel.ack(message)
  await arrivals.until('ten more', (all) => all.length >= 40)
  const acknowledged = new Set(bodies(arrivals.all.slice(0, 10)))
  await channel.close()
  await sides.restart()
  expect(await sides.declare('orders')).toBe(50)
  const again = await consume(await sides.channel(), 'orders')
  await produceEach('orders', 20, 5)
  const all = await again.until('all the others', (got) => got.length === 65)
  for (const partition of partitions) {
    const wanted = numbered(partition, 0, 25).filter((body) => !acknowledged.has(body))
    expect(ofPartition(bodies(all), partition)).toEqual(wanted)
  }
  for (const { fields, content } of all)
    if (Number(content.toString().slice(2)) >= 20) expect(fields.redelivered).toBe(false)
})

test('x-partitions: messages of a key stay together, as Kafka would have them, and in order', async () => {
  expect(await sides.declare('keyed', { arguments: { 'x-partitions': 3 } })).toBe(0)
  expect(await sides.refusal((channel) => channel.assertQueue('keyed'))).toBe('406')
  const channel = await sides.channel()
  for (let number = 0; number < 30; number++)
    for (const key of ['a', 'b', 'c', 'd'])
      channel.sendToQueue('keyed', Buffer.from(`${key}${number}`), { headers: { 'x-key': key } })
  await within('confirms', channel.waitForConfirms())
  const records = await sides.read('keyed', 120)
  const partitionOf = new Map(records.map((record) => [String(record.key), record.partition]))
  // What kafkajs's own Java-compatible partitioner answers.
  const { Partitioners } = await import('kafkajs')
  const partitioner = Partitioners.DefaultPartitioner()
  const partitionMetadata = partitions.map((partitionId) => ({ partitionId, leader: 1 }) as never)
  for (const [key, partition] of partitionOf)
    expect([key, partition]).toEqual([
      key,
      partitioner({ topic: 'keyed', partitionMetadata, message: { key, value: '' } }),
    ])
  const got = await (await consume(await sides.channel(), 'keyed')).until('all', (all) => all.length === 120)
  for (const key of ['a', 'b', 'c', 'd'])
    expect(bodies(got).filter((body) => body.startsWith(key))).toEqual(
      Array.from({ length: 30 }, (_, at) => `${key}${at}`),
    )
})

test('without a key messages go to all partitions in turn; basic.get and purge take of all', async () => {
  await sides.declare('spread', { arguments: { 'x-partitions': 3 } })
  for (let number = 0; number < 9; number++) await sides.publish('spread', String(number))
  for (const partition of partitions) expect((await sides.bounds('spread', partition)).high).toBe(3)
  expect((await sides.workOff('spread')).length).toBe(9)
  for (let number = 0; number < 9; number++) await sides.publish('spread', String(number))
  const channel = await sides.channel()
  expect(await channel.purgeQueue('spread')).toEqual({ messageCount: 9 })
  expect(await sides.declare('spread', { arguments: { 'x-partitions': 3 } })).toBe(0)
})

test('a single active consumer’s epoch rises with each other one, also over a restart', async () => {
  const options = { arguments: { 'x-partitions': 3, 'x-single-active-consumer': true } }
  const epochs = (messages: readonly ConsumeMessage[]): number[] =>
    messages.map(({ properties }) => Number(properties.headers?.['x-consumer-epoch']))
  const seen: number[] = []
  for (let life = 0; life < 2; life++) {
    expect(await sides.declare('fenced', options)).toBe(life === 0 ? 0 : 3)
    const [first, second] = [await sides.channel(), await sides.channel()]
    const active = await consume(first, 'fenced')
    const waiting = await consume(second, 'fenced')
    if (life === 0) for (let number = 0; number < 3; number++) await sides.publish('fenced', String(number))
    const one = await active.until('three', (all) => all.length === 3)
    expect(new Set(epochs(one)).size).toBe(1)
    // What it held goes to the one who waited.
    await first.close()
    const other = await waiting.until('the same three', (all) => all.length === 3)
    expect(new Set(epochs(other)).size).toBe(1)
    seen.push(epochs(one)[0], epochs(other)[0])
    await second.close()
    await sides.restart()
  }
  expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  expect(new Set(seen).size).toBe(4)
  expect(seen[0]).toBeGreaterThan(0)
})

test('a live queue gains the partitions that its topic is given', async () => {
  await sides.declare('growing')
  const arrivals = await consume(await sides.channel(), 'growing')
  const admin = await sides.admin()
  await admin.createPartitions({ topicPartitions: [{ topic: 'growing', count: 3 }] })
  await produceEach('growing', 0, 2)
  const all = await arrivals.until('six', (got) => got.length === 6)
  for (const partition of partitions) expect(ofPartition(bodies(all), partition)).toEqual(numbered(partition, 0, 2))
})

test('a limit, a time to live and dead letters hold for all partitions together', async () => {
  await sides.declare('short', { arguments: { 'x-partitions': 3, 'x-max-length': 5 } })
  for (let number = 0; number < 12; number++) await sides.publish('short', String(number))
  expect(await sides.declare('short', { arguments: { 'x-partitions': 3, 'x-max-length': 5 } })).toBe(5)
  await sides.declare('dead')
  const dying = {
    'x-partitions': 3,
    'x-message-ttl': 20,
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': 'dead',
  }
  await sides.declare('dying', { arguments: dying })
  for (let number = 0; number < 6; number++) await sides.publish('dying', String(number))
  await eventually('six dead letters', async () => (await sides.declare('dead')) === 6)
  expect(await sides.declare('dying', { arguments: dying })).toBe(0)
})
