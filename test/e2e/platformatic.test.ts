// @platformatic/kafka end to end: records in its codecs, a group, administration, and a restart under its feet.
// Promises: the same on both stores; no sleeps.
// Does not know: the versions it speaks (golden fixtures show those).

import * as zlib from 'node:zlib'
import {
  Admin,
  Consumer,
  MessagesStreamModes,
  Producer,
  stringDeserializers,
  stringSerializers,
} from '@platformatic/kafka'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Arrivals, openPlace, stores, within, type Place } from './place.ts'

/** Its zstd is that of node:zlib, which Node 20 does not have. */
const codecs = (['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const).filter(
  (codec) => codec !== 'zstd' || 'zstdCompressSync' in zlib,
)

interface Received {
  readonly key: string
  readonly value: string
  readonly partition: number
  readonly offset: bigint
  readonly by: string
}

describe.each(stores)('@platformatic/kafka on %s', (store) => {
  let place: Place
  const open: (() => unknown)[] = []
  beforeEach(async () => {
    place = await openPlace(store)
  })
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close()
    await place.close()
  })

  const options = () => ({ clientId: 'e2e', bootstrapBrokers: [place.address], retries: 20, retryDelay: 50 })
  const admin = (): Admin => {
    const made = new Admin(options())
    open.push(() => made.close())
    return made
  }
  const producer = (): Producer<string, string, string, string> => {
    const made = new Producer({ ...options(), serializers: stringSerializers })
    open.push(() => made.close())
    return made
  }
  const receive = async (groupId: string, topic: string, arrivals = new Arrivals<Received>(), by = 'one') => {
    const quick = { heartbeatInterval: 60, sessionTimeout: 6000, rebalanceTimeout: 6000, maxWaitTime: 100 }
    const consumer = new Consumer({ ...options(), groupId, deserializers: stringDeserializers, ...quick })
    open.push(() => consumer.close(true))
    const stream = await consumer.consume({
      topics: [topic],
      mode: MessagesStreamModes.COMMITTED,
      fallbackMode: 'earliest',
      autocommit: false,
    })
    stream.on('error', () => undefined)
    void (async () => {
      for await (const message of stream) {
        await message.commit()
        const { key, value, partition, offset } = message
        arrivals.add({ key, value, partition, offset, by })
      }
    })().catch(() => undefined)
    return { consumer, arrivals }
  }

  test.each(codecs)('records compressed by %s', async (compression) => {
    const topics = ['packed']
    await admin().createTopics({ topics, partitions: 1, replicas: 1 })
    const messages = Array.from({ length: 300 }, (_, index) => ({
      topic: 'packed',
      key: `${index}`,
      value: 'thread '.repeat(50),
      headers: { index: `${index}` },
    }))
    const sender = producer()
    for (const acks of [-1, 1]) await sender.send({ messages, acks, compression })
    const { arrivals } = await receive('packed', 'packed')
    const all = await arrivals.until('600 records', (received) => received.length >= 600)
    expect(all.map(({ offset }) => Number(offset))).toEqual(Array.from({ length: 600 }, (_, index) => index))
    expect(all[599]).toMatchObject({ key: '299', value: 'thread '.repeat(50) })
  })

  test('an idempotent producer, and acks 0', async () => {
    const sender = producer()
    await admin().createTopics({ topics: ['once'], partitions: 1, replicas: 1 })
    for (let index = 0; index < 10; index++) {
      await sender.send({ messages: [{ topic: 'once', key: 'k', value: `${index}` }], idempotent: true, acks: -1 })
    }
    await producer().send({ messages: [{ topic: 'once', key: 'k', value: 'last' }], acks: 0 })
    const { arrivals } = await receive('once', 'once')
    const all = await arrivals.until('eleven', (received) => received.length >= 11)
    expect(all.map(({ value }) => value)).toEqual([...Array.from({ length: 10 }, (_, index) => `${index}`), 'last'])
  })

  test('two members share what one had, and one takes it back', async () => {
    await admin().createTopics({ topics: ['shared'], partitions: 4, replicas: 1 })
    const sender = producer()
    let next = 0
    const send = () =>
      sender.send({
        messages: Array.from({ length: 20 }, () => ({
          topic: 'shared',
          key: `${next}`,
          value: `${next++}`,
          partition: next % 4,
        })),
      })
    const first = await receive('team', 'shared', undefined, 'first')
    await send()
    await first.arrivals.until('twenty', (received) => received.length >= 20)
    const half = new Promise<void>((resolve) => {
      first.consumer.on('consumer:group:join', () => {
        if (first.consumer.assignments?.[0]?.partitions.length === 2) resolve()
      })
    })
    const second = await receive('team', 'shared', first.arrivals, 'second')
    await within('half for the first', half)
    await send()
    await first.arrivals.until('forty', (received) => new Set(received.map(({ value }) => value)).size >= 40)
    expect(new Set(first.arrivals.all.map(({ by }) => by))).toEqual(new Set(['first', 'second']))
    await second.consumer.close(true)
    await send()
    const all = await first.arrivals.until(
      'sixty',
      (received) => new Set(received.map(({ value }) => value)).size >= 60,
    )
    expect(all.filter(({ by }) => by === 'second').every(({ value }) => Number(value) < 40)).toBe(true)
  })

  test('administration', async () => {
    const client = admin()
    await client.createTopics({ topics: ['made'], partitions: 2, replicas: 1 })
    expect(await client.listTopics()).toEqual(['made'])
    await client.createPartitions({ topics: [{ name: 'made', count: 3 }] })
    const { arrivals, consumer } = await receive('seen', 'made')
    await producer().send({ messages: [{ topic: 'made', key: 'k', value: 'v', partition: 2 }] })
    await arrivals.until('one', (received) => received.length === 1)
    expect([...(await client.listGroups()).keys()]).toEqual(['seen'])
    expect((await client.describeGroups({ groups: ['seen'] })).get('seen')?.state).toBe('STABLE')
    expect((await consumer.listOffsets({ topics: ['made'] })).get('made')).toEqual([0n, 0n, 1n])
    await consumer.close(true)
    await client.deleteGroups({ groups: ['seen'] })
    await client.deleteTopics({ topics: ['made'] })
    expect(await client.listTopics()).toEqual([])
  })

  test.runIf(store === 'file:')('goes on after a restart', async () => {
    await admin().createTopics({ topics: ['kept'], partitions: 1, replicas: 1 })
    await producer().send({ messages: [{ topic: 'kept', key: 'k', value: 'before' }] })
    const before = await receive('kept', 'kept')
    await before.arrivals.until('before', (received) => received.length === 1)
    await before.consumer.close(true)
    await place.restart()
    await producer().send({ messages: [{ topic: 'kept', key: 'k', value: 'after' }] })
    const { arrivals } = await receive('kept', 'kept')
    const all = await arrivals.until('after', (received) => received.length >= 1)
    expect(all.map(({ value, offset }) => [value, Number(offset)])).toEqual([['after', 1]])
  })
})
