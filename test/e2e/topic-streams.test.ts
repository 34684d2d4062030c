// amqplib reads topics as streams, whoever made and wrote them: nothing is declared, nothing taken away.
// Promises: real sockets; every wait ends with its event or fails.
// Does not know: how a stream is read.

import amqp, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib'
import type { Producer } from 'kafkajs'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { KafkajsClients } from './kafkajs-clients.ts'
import { Arrivals, openPlace, within, type Place } from './place.ts'

let place: Place
let kafka: KafkajsClients
let producer: Producer
let client: ChannelModel
let channel: Channel
beforeAll(async () => {
  place = await openPlace('memory:')
  kafka = new KafkajsClients(place.address)
  producer = await kafka.producer()
  client = await amqp.connect(place.url)
})
beforeEach(async () => {
  channel = await client.createChannel()
})
afterEach(() => channel.close().catch(() => undefined))
afterAll(async () => {
  await client.close()
  await kafka.close()
  await place.close()
})

async function makeTopic(topic: string, numPartitions = 3): Promise<void> {
  const admin = await kafka.admin()
  await admin.createTopics({ topics: [{ topic, numPartitions }] })
}

const produce = (topic: string, partition: number, ...values: string[]) =>
  producer.send({ topic, messages: values.map((value) => ({ partition, key: `k${partition}`, value })) })

/** What a consumer of the topic is given; `null` when it is cancelled. */
async function read(topic: string, offset: unknown, prefetch = 100): Promise<Arrivals<ConsumeMessage | null>> {
  const arrivals = new Arrivals<ConsumeMessage | null>()
  await channel.prefetch(prefetch)
  await channel.consume(
    topic,
    (message) => {
      arrivals.add(message)
      if (message !== null) channel.ack(message)
    },
    { arguments: { 'x-stream-offset': offset } },
  )
  return arrivals
}

const placeOf = (message: ConsumeMessage | null): string => {
  const headers = message?.properties.headers ?? {}
  return `${headers['x-partition']}/${headers['x-stream-offset']} ${message?.content.toString()}`
}

test('three partitions of a topic of Kafka’s clients, each in its order, again and again', async () => {
  await makeTopic('readings')
  for (const partition of [0, 1, 2]) await produce('readings', partition, 'a', 'b', 'c')
  const wanted = [0, 1, 2].flatMap((partition) => ['a', 'b', 'c'].map((value, at) => `${partition}/${at} ${value}`))
  for (const prefetch of [100, 1]) {
    const arrivals = await read('readings', 'first', prefetch)
    const all = await arrivals.until('all nine', (got) => got.length === 9)
    expect(all.map(placeOf).sort()).toEqual(wanted)
    for (const partition of [0, 1, 2]) {
      const mine = all.map(placeOf).filter((one) => one.startsWith(`${partition}/`))
      expect(mine).toEqual(wanted.filter((one) => one.startsWith(`${partition}/`)))
    }
    expect(all[0]?.fields).toMatchObject({ exchange: '', redelivered: false })
  }
  const admin = await kafka.admin()
  const offsets = await admin.fetchTopicOffsets('readings')
  expect(offsets.map(({ low, high }) => [low, high])).toEqual([0, 1, 2].map(() => ['0', '3']))
})

test('from where it is asked, and on with what comes; partitions that come later too', async () => {
  await makeTopic('later', 2)
  await produce('later', 0, 'old')
  const next = await read('later', 'next')
  const second = await read('later', 1)
  await produce('later', 0, 'new')
  await produce('later', 1, 'first', 'second')
  expect((await next.until('what is new', (got) => got.length === 3)).map(placeOf).sort()).toEqual([
    '0/1 new',
    '1/0 first',
    '1/1 second',
  ])
  await second.until('offset 1 of each', (got) => got.length === 2)
  expect(second.all.map(placeOf).sort()).toEqual(['0/1 new', '1/1 second'])
  const admin = await kafka.admin()
  await admin.createPartitions({ topicPartitions: [{ topic: 'later', count: 3 }] })
  const fresh = await kafka.producer()
  await fresh.send({ topic: 'later', messages: [{ partition: 2, value: 'third' }] })
  await next.until('a partition more', (got) => got.some((one) => placeOf(one) === '2/0 third'))
})

test('below the log start it goes on at the log start', async () => {
  await makeTopic('short', 1)
  await produce('short', 0, 'a', 'b', 'c', 'd')
  const held: ConsumeMessage[] = []
  const arrivals = new Arrivals<string>()
  await channel.prefetch(1)
  await channel.consume(
    'short',
    (message) => {
      if (message === null) return
      held.push(message)
      arrivals.add(placeOf(message))
    },
    { arguments: { 'x-stream-offset': 'first' } },
  )
  await arrivals.until('the first', (all) => all.length === 1)
  const admin = await kafka.admin()
  await admin.fetchTopicOffsets('short')
  await admin.deleteTopicRecords({ topic: 'short', partitions: [{ partition: 0, offset: '3' }] })
  channel.ack(held[0])
  expect(await arrivals.until('what is left', (all) => all.length === 2)).toEqual(['0/0 a', '0/3 d'])
  const again = await read('short', 1)
  expect((await again.until('what is left', (all) => all.length === 1)).map(placeOf)).toEqual(['0/3 d'])
})

test('a queue is read beside its consumers, and its messages stay theirs', async () => {
  await channel.assertQueue('worked', { durable: true })
  channel.sendToQueue('worked', Buffer.from('one'), { messageId: 'm', headers: { h: 'v' } })
  const arrivals = await read('worked', 'first')
  const [message] = await arrivals.until('the message', (got) => got.length === 1)
  expect(message?.properties).toMatchObject({ messageId: 'm', headers: { h: 'v', 'x-stream-offset': 0 } })
  expect(await channel.checkQueue('worked')).toMatchObject({ messageCount: 1, consumerCount: 0 })
  const got = await channel.get('worked', { noAck: true })
  expect(got === false ? '' : got.content.toString()).toBe('one')
})

test('deleting the topic cancels; without x-stream-offset a topic is no queue', async () => {
  await makeTopic('gone')
  const arrivals = await read('gone', 'first')
  const admin = await kafka.admin()
  await admin.deleteTopics({ topics: ['gone'] })
  await arrivals.until('the cancel', (got) => got.length === 1 && got[0] === null)
  await makeTopic('plain')
  const ended = new Promise<Error>((resolve) => channel.once('error', resolve))
  const refused = channel.consume('plain', () => undefined).catch((error: Error) => error)
  expect(await refused).toMatchObject({ code: 404 })
  expect(await within('the channel ends', ended)).toMatchObject({ code: 404 })
})
