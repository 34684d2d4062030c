// Records and messages both ways: what kafkajs and @platformatic/kafka write amqplib reads, and the other way round.
// Promises: the same on both stores; tables of what is written and what must arrive; no sleeps.
// Does not know: declarations, retention, groups.

import { Producer, stringSerializers } from '@platformatic/kafka'
import amqp, { type ChannelModel, type ConfirmChannel, type Options } from 'amqplib'
import { CompressionTypes, type Message } from 'kafkajs'
import * as zlib from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KafkajsClients, type Received } from './kafkajs-clients.ts'
import { Arrivals, openPlace, stores, within, type Place } from './place.ts'

interface Delivered {
  readonly body: Buffer
  readonly routingKey: string
  readonly exchange: string
  readonly redelivered: boolean
  readonly properties: Record<string, unknown>
  readonly headers: Record<string, unknown>
}

describe.each(stores)('records and messages on %s', (kind) => {
  let place: Place
  let clients: KafkajsClients
  let client: ChannelModel
  let channel: ConfirmChannel
  let names = 0
  beforeAll(async () => {
    place = await openPlace(kind)
    clients = new KafkajsClients(place.address)
    client = await amqp.connect(place.url)
    channel = await client.createConfirmChannel()
  })
  afterAll(async () => {
    await client.close()
    await clients.close()
    await place.close()
  })

  const declare = async (): Promise<string> => {
    const queue = `q${kind.slice(0, -1)}-${++names}`
    await channel.assertQueue(queue, { durable: true })
    return queue
  }
  const produce = async (topic: string, messages: Message[], compression = CompressionTypes.None): Promise<void> => {
    const producer = await clients.producer()
    await producer.send({ topic, messages, compression })
  }
  /** Everything up to `count`, acknowledged. */
  const take = async (queue: string, count: number): Promise<readonly Delivered[]> => {
    const arrived = new Arrivals<Delivered>()
    const { consumerTag } = await channel.consume(queue, (message) => {
      if (message === null) return
      const { headers = {}, ...properties } = message.properties
      const said = Object.entries(properties).filter(([, value]) => value !== undefined)
      const { routingKey, exchange, redelivered } = message.fields
      arrived.add({
        body: message.content,
        routingKey,
        exchange,
        redelivered,
        properties: Object.fromEntries(said),
        headers,
      })
      channel.ack(message)
    })
    const all = await arrived.until(`${count} messages`, ({ length }) => length >= count)
    await channel.cancel(consumerTag)
    return all
  }
  const publish = async (queue: string, body: Buffer, options: Options.Publish): Promise<void> => {
    channel.sendToQueue(queue, body, options)
    await within('the confirm', channel.waitForConfirms())
  }
  const poll = async (topic: string, count: number): Promise<readonly Received[]> => {
    const consumer = await clients.consumer(`${topic} readers ${++names}`)
    const arrived = await clients.receive(consumer, topic)
    return arrived.until(`${count} records`, ({ length }) => length >= count)
  }

  // --- from Kafka ---

  const binary = Buffer.from([0xff, 0xfe, 0])
  const fromKafka: readonly (readonly [what: string, given: Message, expected: Record<string, unknown>])[] = [
    ['a key that is text', { key: 'order-7', value: 'v' }, { routingKey: 'order-7', headers: { 'x-key': 'order-7' } }],
    ['no key', { key: null, value: 'v' }, { routingKey: 'TOPIC', headers: {} }],
    ['an empty key', { key: '', value: 'v' }, { routingKey: '', headers: { 'x-key': '' } }],
    ['a key of bytes', { key: binary, value: 'v' }, { routingKey: 'TOPIC', headers: { 'x-key': binary } }],
    [
      'a key longer than a routing key',
      { key: 'k'.repeat(300), value: 'v' },
      { routingKey: 'TOPIC', headers: { 'x-key': 'k'.repeat(300) } },
    ],
    [
      'headers: text, bytes, repeated, empty',
      { value: 'v', headers: { text: 'wörter', bytes: binary, many: ['a', 'b'], empty: '' } },
      { headers: { text: 'wörter', bytes: binary, many: ['a', 'b'], empty: '' } },
    ],
    [
      'names of ours in its headers',
      { value: 'v', headers: { amqp: 'forged', 'x-partition': '9', 'x-stream-offset': '9', 'x-tombstone': 'yes' } },
      { headers: {} },
    ],
    ['a time', { value: 'v', timestamp: '1700000000999' }, { properties: { timestamp: 1_700_000_000 } }],
    ['no value', { key: 'k', value: null }, { body: '', headers: { 'x-key': 'k', 'x-tombstone': true } }],
    ['an empty value', { key: 'k', value: '' }, { body: '', headers: { 'x-key': 'k' } }],
    [
      'headers that fit no frame',
      { value: 'v', headers: { small: '1', large: 'x'.repeat(200_000) } },
      { headers: { small: '1', 'x-headers-omitted': ['large'] } },
    ],
  ]

  test('what a Kafka client wrote is a message, row by row', async () => {
    const queue = await declare()
    await produce(
      queue,
      fromKafka.map(([, given]) => ({ timestamp: '1500000000000', ...given })),
    )
    const all = await take(queue, fromKafka.length)
    for (const [index, [what, given, expected]] of fromKafka.entries()) {
      const { body, routingKey, exchange, redelivered, properties, headers } = all[index]
      const { body: text = given.value, headers: own = {}, ...rest } = expected
      const where = { 'x-partition': 0, 'x-stream-offset': index }
      expect({ body: body.toString(), routingKey, exchange, redelivered, properties, headers }, what).toEqual({
        routingKey: given.key ?? queue,
        exchange: '',
        redelivered: false,
        properties: { timestamp: 1_500_000_000 },
        ...rest,
        ...(rest.routingKey === 'TOPIC' ? { routingKey: queue } : {}),
        body: text,
        headers: { ...(own as object), ...where },
      })
    }
  })

  test.each(Object.entries(CompressionTypes).filter(([, type]) => typeof type === 'number'))(
    'compressed by kafkajs: %s',
    async (_, type) => {
      const queue = await declare()
      const messages = Array.from({ length: 200 }, (_, index) => ({
        key: `${index}`,
        value: `thread ${index} `.repeat(20),
      }))
      await produce(queue, messages, type as CompressionTypes)
      const all = await take(queue, 200)
      expect(all.map(({ body, routingKey }) => [routingKey, body.toString()])).toEqual(
        messages.map(({ key, value }) => [key, value]),
      )
      expect(all.map(({ headers }) => headers['x-stream-offset'])).toEqual(messages.map((_, index) => index))
    },
  )

  const codecs = (['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const).filter(
    (codec) => codec !== 'zstd' || 'zstdCompressSync' in zlib,
  )
  test.each(codecs)('compressed by @platformatic/kafka: %s', async (compression) => {
    const queue = await declare()
    const producer = new Producer({
      clientId: 'both ways',
      bootstrapBrokers: [place.address],
      serializers: stringSerializers,
    })
    const messages = Array.from({ length: 100 }, (_, index) => ({
      topic: queue,
      key: `${index}`,
      value: `spool ${index} `.repeat(20),
      headers: { index: `${index}` },
    }))
    await producer.send({ messages, compression, acks: -1 })
    await producer.close()
    const all = await take(queue, 100)
    expect(all.map(({ body, headers }) => [body.toString(), headers['index']])).toEqual(
      messages.map(({ value, headers }) => [value, headers.index]),
    )
  })

  // --- from AMQP ---

  const fromAmqp: readonly (readonly [
    what: string,
    options: Options.Publish,
    expected: { readonly key?: string | Buffer | null; readonly headers?: Record<string, string> },
  ])[] = [
    ['nothing but a body', {}, { key: null }],
    ['x-key that is text', { headers: { 'x-key': 'order-7' } }, { key: 'order-7' }],
    ['x-key of bytes', { headers: { 'x-key': binary } }, { key: binary }],
    ['x-key that is a number', { headers: { 'x-key': 42 } }, { key: '42' }],
    [
      'headers of one value',
      {
        headers: {
          text: 'wörter',
          yes: true,
          int8: { '!': 'byte', value: -5 },
          int16: { '!': 'short', value: 300 },
          int32: { '!': 'int', value: 70_000 },
          int64: { '!': 'long', value: 2 ** 40 },
          half: { '!': 'double', value: 0.5 },
          single: { '!': 'float', value: 0.25 },
          price: { '!': 'decimal', value: { places: 2, digits: 1999 } },
          at: { '!': 'timestamp', value: 1_700_000_000 },
        },
      },
      {
        headers: {
          text: 'wörter',
          yes: 'true',
          int8: '-5',
          int16: '300',
          int32: '70000',
          int64: String(2 ** 40),
          half: '0.5',
          single: '0.25',
          price: '19.99',
          at: '1700000000',
        },
      },
    ],
    ['headers of many values', { headers: { list: [1, 'two'], table: { a: 1 }, bytes: binary, none: null } }, {}],
    [
      'every property',
      {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        deliveryMode: 2,
        priority: 3,
        correlationId: 'c',
        replyTo: 'r',
        messageId: 'm',
        timestamp: 1_600_000_000,
        type: 't',
        userId: 'guest',
        appId: 'a',
      },
      {},
    ],
  ]

  test('what an AMQP client published is a record, and comes back exactly, row by row', async () => {
    const queue = await declare()
    for (const [index, [, options]] of fromAmqp.entries()) channel.sendToQueue(queue, Buffer.from(`${index}`), options)
    await within('confirms', channel.waitForConfirms())
    const before = Date.now()
    const records = await poll(queue, fromAmqp.length)
    for (const [index, [what, , { key = null, headers = {} }]] of fromAmqp.entries()) {
      const record = records[index]
      const { amqp: own, ...rest } = record.headers ?? {}
      expect(own, what).toBeInstanceOf(Buffer)
      expect(Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, value?.toString()])), what).toEqual(
        headers,
      )
      expect(record.key, what).toEqual(key === null ? null : Buffer.from(key))
      expect([record.value?.toString(), record.offset], what).toEqual([`${index}`, `${index}`])
      expect(Math.abs(Number(record.timestamp) - before)).toBeLessThan(60_000)
    }
    const messages = await take(queue, fromAmqp.length)
    // The same messages through a queue that no Kafka client knows: the reference for "exactly".
    const { queue: own } = await channel.assertQueue('', { exclusive: true })
    for (const [index, [, options]] of fromAmqp.entries()) channel.sendToQueue(own, Buffer.from(`${index}`), options)
    const reference = await take(own, fromAmqp.length)
    for (const [index, [what, options]] of fromAmqp.entries()) {
      const { headers, properties, body } = messages[index]
      expect([body, properties, headers], what).toEqual([
        reference[index].body,
        reference[index].properties,
        reference[index].headers,
      ])
      expect(Object.keys(headers), what).toEqual(Object.keys((options.headers as object | undefined) ?? {}))
    }
  })

  test('a tombstone is said by a header, and a body beside it is refused', async () => {
    const queue = await declare()
    await publish(queue, Buffer.alloc(0), { headers: { 'x-key': 'gone', 'x-tombstone': true } })
    await publish(queue, Buffer.alloc(0), { headers: { 'x-key': 'empty' } })
    const records = await poll(queue, 2)
    expect(records.map(({ key, value }) => [key?.toString(), value])).toEqual([
      ['gone', null],
      ['empty', Buffer.alloc(0)],
    ])
    expect((await take(queue, 2)).map(({ headers }) => headers)).toEqual([
      { 'x-key': 'gone', 'x-tombstone': true },
      { 'x-key': 'empty' },
    ])
    const wrong = await client.createChannel()
    const ended = new Promise<string>((resolve) => wrong.once('error', (error: Error) => resolve(error.message)))
    wrong.sendToQueue(queue, Buffer.from('body'), { headers: { 'x-tombstone': true } })
    expect(await within('the refusal', ended)).toMatch(/406.*'x-tombstone' with a body of 4 bytes/)
  })

  test('a record copied by a Kafka client from a queue into another topic is a plain record there', async () => {
    const queue = await declare()
    const copy = await declare()
    await publish(queue, Buffer.from('body'), { headers: { 'x-key': 'k', tag: 'red', list: [1] }, messageId: 'm' })
    const [{ key, value, headers }] = await poll(queue, 1)
    await produce(copy, [{ key, value, headers: headers ?? {}, timestamp: '1500000000000' }])
    const [copied] = await take(copy, 1)
    expect(copied).toMatchObject({ body: Buffer.from('body'), routingKey: 'k', exchange: '' })
    expect(copied.properties).toEqual({ timestamp: 1_500_000_000 })
    expect(copied.headers).toEqual({ 'x-key': 'k', tag: 'red', 'x-partition': 0, 'x-stream-offset': 0 })
  })

  test('over a topic that a Kafka client made all deliveries tell their place, and its settings hold for AMQP', async () => {
    const queue = `made-${++names}`
    const admin = await clients.admin()
    const configEntries = [
      { name: 'compression.type', value: 'gzip' },
      { name: 'message.timestamp.type', value: 'LogAppendTime' },
    ]
    await admin.createTopics({ topics: [{ topic: queue, numPartitions: 1, configEntries }] })
    await produce(queue, [{ key: 'k', value: 'by Kafka', timestamp: '1500000000000' }])
    await channel.assertQueue(queue, { durable: true })
    const body = Buffer.from('by AMQP '.repeat(100))
    await publish(queue, body, { messageId: 'm', headers: { 'x-key': 'k2', 'x-stream-offset': 99 } })
    const records = await poll(queue, 2)
    expect(records.map(({ value }) => value)).toEqual([Buffer.from('by Kafka'), body])
    for (const { timestamp } of records) expect(Math.abs(Number(timestamp) - Date.now())).toBeLessThan(60_000)
    const messages = await take(queue, 2)
    expect(messages.map(({ body: there, headers }) => [there, headers])).toEqual([
      [Buffer.from('by Kafka'), { 'x-key': 'k', 'x-partition': 0, 'x-stream-offset': 0 }],
      [body, { 'x-key': 'k2', 'x-partition': 0, 'x-stream-offset': 1 }],
    ])
    expect(messages[1].properties).toEqual({ messageId: 'm' })
  })

  test('from a queue of several partitions all deliveries tell theirs', async () => {
    const queue = `wide-${++names}`
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-partitions': 3 } })
    for (let at = 0; at < 30; at++)
      channel.sendToQueue(queue, Buffer.from(`a${at}`), { headers: { 'x-key': `k${at % 5}` } })
    await within('confirms', channel.waitForConfirms())
    await produce(
      queue,
      Array.from({ length: 30 }, (_, at) => ({ key: `k${at % 5}`, value: `k${at}` })),
    )
    const records = await poll(queue, 60)
    const places = new Map(records.map(({ value, partition, offset }) => [value?.toString(), `${partition} ${offset}`]))
    const messages = await take(queue, 60)
    for (const { body, headers } of messages)
      expect(`${headers['x-partition']} ${headers['x-stream-offset']}`).toBe(places.get(body.toString()))
    // A key is in one partition, whoever wrote it.
    for (let key = 0; key < 5; key++) {
      const partitions = messages.filter(({ headers }) => headers['x-key'] === `k${key}`)
      expect(new Set(partitions.map(({ headers }) => headers['x-partition'])).size).toBe(1)
    }
  })

  test('headers that do not fit the frames of a client are left out and named', async () => {
    const queue = await declare()
    await produce(queue, [
      { key: 'k', value: 'v', headers: { small: '1', first: 'x'.repeat(2000), second: 'y'.repeat(2000), last: '2' } },
    ])
    const narrow = await amqp.connect(`${place.url}?frameMax=4096`)
    const own = await narrow.createChannel()
    for (const wide of [false, true]) {
      const got = await (wide ? channel : own).get(queue)
      if (got === false) throw new Error('a message was expected')
      const { headers = {} } = got.properties
      const { 'x-headers-omitted': omitted, ...rest } = headers
      expect(omitted).toEqual(wide ? undefined : ['second'])
      const kept = ['x-key', 'small', 'first', ...(wide ? ['second'] : []), 'last', 'x-partition', 'x-stream-offset']
      expect(Object.keys(rest)).toEqual(kept)
      if (!wide) own.nack(got)
    }
    await narrow.close()
  })

  test('16 MiB both ways', async () => {
    const queue = await declare()
    const body = Buffer.alloc(16 * 1024 * 1024)
    for (let at = 0; at < body.length; at += 4096) body.writeUInt32BE(at, at)
    await publish(queue, body, {})
    await produce(queue, [{ value: body }])
    const consumer = await clients.consumer(`${queue} large`, { maxBytesPerPartition: 1024 })
    const records = await (await clients.receive(consumer, queue)).until('both', ({ length }) => length >= 2)
    expect(records.map(({ value }) => value?.equals(body))).toEqual([true, true])
    // What is worked off may go at any time.
    const [published, produced] = await take(queue, 2)
    expect([published.body.equals(body), produced.body.equals(body)]).toEqual([true, true])
  })
})
