// Retries and dead letters of topics, with real clients: kafkajs writes, amqplib fails, kafkajs reads what is dead.
// Promises: the same on both stores; delays are measured from one delivery to the next; no sleeps.
// Does not know: shapes of delays (retry-delay.test.ts), moving dead letters back (redrive.test.ts).

import amqp, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KafkajsClients } from './kafkajs-clients.ts'
import { Arrivals, openPlace, stores, type Place } from './place.ts'

interface Tried {
  readonly atMs: number
  readonly body: string
  readonly count: unknown
}

describe.each(stores)('a topic worked off with retries on %s', (kind) => {
  let place: Place
  let clients: KafkajsClients
  let client: ChannelModel
  beforeAll(async () => {
    place = await openPlace(kind)
    clients = new KafkajsClients(place.address)
    client = await amqp.connect(place.url)
  })
  afterAll(async () => {
    await client.close()
    await clients.close()
    await place.close()
  })

  /** Works off the queue: what begins with `bad` fails each time. */
  async function workOff(channel: Channel, queue: string): Promise<Arrivals<Tried>> {
    const tried = new Arrivals<Tried>()
    await channel.consume(queue, (message: ConsumeMessage | null) => {
      if (message === null) return
      const body = message.content.toString()
      tried.add({ atMs: performance.now(), body, count: message.properties.headers?.['x-delivery-count'] })
      if (body.startsWith('bad')) channel.reject(message, true)
      else channel.ack(message)
    })
    return tried
  }

  test('fails with growing delays, others pass by, and is a record of the dead letter topic with its coordinates', async () => {
    const producer = await clients.producer()
    await producer.send({
      topic: 'orders',
      messages: [
        { key: 'k0', value: 'good 0' },
        { key: 'k1', value: 'bad 1', headers: { trace: 't1' } },
        { key: 'k2', value: 'good 2' },
      ],
    })
    const channel = await client.createChannel()
    await channel.assertQueue('orders', {
      durable: true,
      arguments: {
        'x-delivery-limit': 2,
        'x-delayed-retry-type': 'failed',
        'x-delayed-retry-min': 100,
        'x-dead-letter-topic': 'orders.dlq',
      },
    })
    const tried = await workOff(channel, 'orders')
    const all = await tried.until('all tries', ({ length }) => length >= 5)
    expect(all.map(({ body }) => body)).toEqual(['good 0', 'bad 1', 'good 2', 'bad 1', 'bad 1'])
    const bad = all.filter(({ body }) => body === 'bad 1')
    expect(bad.map(({ count }) => count)).toEqual([undefined, 1, 2])
    expect(bad[1].atMs - bad[0].atMs).toBeGreaterThanOrEqual(99)
    expect(bad[2].atMs - bad[1].atMs).toBeGreaterThanOrEqual(199)

    const consumer = await clients.consumer(`${kind} readers of the dead`)
    const dead = await clients.receive(consumer, 'orders.dlq')
    const [record] = await dead.until('the dead letter', ({ length }) => length >= 1)
    expect([String(record.key), String(record.value)]).toEqual(['k1', 'bad 1'])
    const headers = Object.fromEntries(
      Object.entries(record.headers ?? {}).map(([name, value]) => [name, String(value)]),
    )
    expect(headers).toMatchObject({
      trace: 't1',
      'x-source-topic': 'orders',
      'x-source-partition': '0',
      'x-source-offset': '1',
      'x-first-death-reason': 'delivery_limit',
      'x-first-death-queue': 'orders',
    })
    expect(headers).not.toHaveProperty('x-stream-offset')
    await channel.close()
  })
})
