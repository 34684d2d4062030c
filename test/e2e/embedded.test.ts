// startBroker as the package offers it: addresses, topics and queues without a client, against real clients.
// Promises: brokers in memory, on free ports.
// Does not know: time (embedded-clock.test.ts), faults.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import amqplib from 'amqplib'
import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, StartFailure, type RunningBroker } from '../../src/index.ts'
import { Arrivals } from './place.ts'

let broker: RunningBroker
beforeAll(async () => {
  broker = await startBroker({ store: 'memory:', logLevel: 'error' })
})
afterAll(() => broker.close())

const kafkaOf = (of: RunningBroker): Kafka => new Kafka({ brokers: [of.kafka], logLevel: logLevel.NOTHING })

test('addresses are what clients take', () => {
  expect(broker.kafka).toMatch(/^127\.0\.0\.1:\d+$/)
  expect(broker.amqp).toMatch(/^amqp:\/\/guest:guest@127\.0\.0\.1:\d+$/)
  expect(broker.dataPath).toBeUndefined()
})

test('what is off says so', async () => {
  const none = await startBroker({ kafka: 'off', amqp: 'off' })
  expect([none.kafka, none.amqp]).toEqual(['off', 'off'])
  await none.close()
})

test('an unknown option is named', async () => {
  const started = startBroker({ clocks: 'virtual' } as object)
  await expect(started).rejects.toThrow(/^clocks: there is no such option; there are store, .*settings, clock$/)
})

test("what prevents a start is said in a program's words", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'odradek-embedded-'))
  const store = `file:${join(folder, 'data')}`
  const first = await startBroker({ store })
  const why = async (options: unknown): Promise<string> => {
    const outcome: unknown = await startBroker(options as object).catch((error: unknown) => error)
    return outcome instanceof StartFailure ? outcome.message : 'started'
  }
  expect(await why({ store })).toBe(
    `${join(folder, 'data')} is in use by this process (${process.pid}): stop it, or choose another folder with store: 'file:DIR'`,
  )
  expect(await why({ amqp: first.kafka })).toBe(
    `${first.kafka} is already in use: stop what listens there, or choose another address with amqp: 'HOST:PORT', or amqp: 'off'`,
  )
  expect(await why('memory:')).toBe('options: "memory:" is no object')
  expect(await why(null)).toBe('options: null is no object')
  await first.close()
  rmSync(folder, { recursive: true })
})

describe('topics', () => {
  test('made, listed, deleted', async () => {
    await broker.topics.create('made', { partitions: 3, settings: { 'retention.ms': 1000 } })
    await expect(broker.topics.create('made')).rejects.toMatchObject({ name: 'RequestRefused', reason: 'topicExists' })
    expect(await broker.topics.list()).toContainEqual({ name: 'made', partitions: 3 })
    await broker.topics.delete('made')
    expect((await broker.topics.list()).map(({ name }) => name)).not.toContain('made')
    await expect(broker.topics.records('made')).rejects.toThrow(/made/)
  })

  test('what is produced here a Kafka client reads, by partition of its key', async () => {
    await broker.topics.create('told', { partitions: 4 })
    const places = await broker.topics.produce('told', [
      { key: 'a', value: 'one', headers: { kind: 'first' } },
      { key: 'b', value: 'two', timestamp: 1000 },
      { key: 'a', value: null },
    ])
    expect(places[0].partition).toBe(places[2].partition)
    const consumer = kafkaOf(broker).consumer({ groupId: 'reader' })
    const seen = new Arrivals<string>()
    await consumer.connect()
    await consumer.subscribe({ topic: 'told', fromBeginning: true })
    await consumer.run({
      eachMessage: ({ partition, message }) => {
        seen.add(`${partition} ${message.offset} ${String(message.key)} ${String(message.value)}`)
        return Promise.resolve()
      },
    })
    await seen.until('three records', (all) => all.length === 3)
    await consumer.disconnect()
    const expected = places.map(
      ({ partition, offset }, at) => `${partition} ${offset} ${['a one', 'b two', 'a null'][at]}`,
    )
    expect([...seen.all].toSorted()).toEqual(expected.toSorted())
  })

  test('what a Kafka client produced is read here', async () => {
    const producer = kafkaOf(broker).producer()
    await producer.connect()
    const headers = { kind: ['x', 'y'], one: 'z' }
    await producer.send({ topic: 'heard', messages: [{ key: 'k', value: 'v', headers, timestamp: '1234' }] })
    await producer.send({ topic: 'heard', messages: [{ value: Buffer.from([0xff]) }] })
    await producer.disconnect()
    await expect(broker.topics.records('heard')).rejects.toThrow(/heard-0 at offset 1 holds what is no UTF-8/)
    const [first, second] = await broker.topics.records('heard', { as: 'bytes' })
    expect(second.value).toEqual(Buffer.from([0xff]))
    expect(Buffer.from(first.value ?? []).toString()).toBe('v')
    expect(first).toMatchObject({ partition: 0, offset: 0, timestamp: 1234 })
    expect(first.headers).toEqual({ kind: [Buffer.from('x'), Buffer.from('y')], one: Buffer.from('z') })
  })

  test('batches that a client compressed', async () => {
    const producer = kafkaOf(broker).producer()
    await producer.connect()
    const messages = ['small', 'x'.repeat(200_000), 'y'.repeat(200_000)].map((value) => ({ value }))
    for (const sent of [messages.slice(0, 1), messages])
      await producer.send({ topic: 'packed', messages: sent, compression: CompressionTypes.GZIP })
    await producer.disconnect()
    const values = (await broker.topics.records('packed')).map(({ value }) => value)
    expect(values).toEqual([messages[0], ...messages].map(({ value }) => value))
  })

  test('more than one batch and one read, in order', async () => {
    const value = 'x'.repeat(100_000)
    const places = await broker.topics.produce(
      'long',
      Array.from({ length: 200 }, (_, at) => ({ value, key: `${at}` })),
    )
    expect(places.map(({ offset }) => offset)).toEqual(places.map((_, at) => at))
    const records = await broker.topics.records('long')
    expect(records.map(({ key }) => key)).toEqual(places.map((_, at) => `${at}`))
  })

  test.each<[string, unknown, string]>([
    ['a number', { value: 3 }, 'value: 3 is no string, Uint8Array or null'],
    ['no value', { key: 'a' }, 'value: undefined is no string'],
    ['an object', { value: { id: 1 } }, 'value: {"id":1} is no string'],
    ['a header', { value: '', headers: { n: 1 } }, 'header n: 1 is no string'],
    ['a text', 'one', 'a record: "one" is no object'],
    ['a time with a fraction', { value: '', timestamp: 1.5 }, 'timestamp: 1.5 is no whole number of milliseconds'],
    ['a date', { value: '', timestamp: new Date(0) }, 'timestamp: "1970-01-01T00:00:00.000Z" is no whole number'],
    ['a misspelt field', { value: '', partiton: 1 }, 'a record: there is no "partiton"; there are key, value, headers'],
  ])('what is no record is said in one line, and nothing is stored: %s', async (_, record, why) => {
    const given = [{ value: 'x'.repeat(600_000) }, record] as { value: string }[]
    const refused = broker.topics.produce('judged', given)
    await expect(refused).rejects.toBeInstanceOf(TypeError)
    await expect(refused).rejects.toThrow(why)
    expect((await broker.topics.list()).map(({ name }) => name)).not.toContain('judged')
  })

  test('what is no option is said', async () => {
    const { topics } = broker
    await expect(topics.create('typo', { partition: 3 } as object)).rejects.toThrow('create: there is no "partition"')
    await expect(topics.records('typo', { as: 'json' as 'text' })).rejects.toThrow('as: "json" is neither')
    await expect(topics.produce(undefined as unknown as string, [])).rejects.toThrow('name: undefined is no string')
    expect((await topics.list()).map(({ name }) => name)).not.toContain('typo')
  })

  test('no such partition, no such name', async () => {
    await expect(broker.topics.produce('few', { value: '', partition: 1 })).rejects.toThrow('there is no 1')
    await expect(broker.topics.produce('a name', { value: '' })).rejects.toMatchObject({ name: 'RequestRefused' })
  })
})

test('queues are counted, and their messages are records', async () => {
  const connection = await amqplib.connect(broker.amqp)
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('work', { durable: true })
  for (const text of ['one', 'two', 'three']) channel.sendToQueue('work', Buffer.from(text))
  await channel.waitForConfirms()
  await channel.get('work')
  expect(await broker.queues.counts('work')).toEqual({ ready: 2, unacknowledged: 1, consumers: 0 })
  expect(await broker.queues.list()).toEqual(['work'])
  expect((await broker.topics.records('work')).map(({ value }) => value)).toEqual(['one', 'two', 'three'])
  await connection.close()
  await expect(broker.queues.counts('nobody')).rejects.toMatchObject({ name: 'RequestRefused' })
})

test('await using ends it', async () => {
  const other = await startBroker()
  await other[Symbol.asyncDispose]()
  await other.close()
  await expect(amqplib.connect(other.amqp)).rejects.toThrow('ECONNREFUSED')
})

test('a closed broker says that it is closed, whatever it is asked', async () => {
  const { topics, queues, clock, faults, close } = await startBroker({ clock: 'virtual' })
  await topics.produce('orders', { value: 'one' })
  // As a function of its own, too.
  await close()
  const asked = [
    topics.create('more'),
    topics.delete('orders'),
    topics.list(),
    topics.produce('orders', { value: 'two' }),
    topics.records('orders'),
    queues.list(),
    queues.counts('orders'),
    clock.advance('1h'),
  ]
  for (const one of asked)
    await expect(one).rejects.toMatchObject({
      name: 'RequestRefused',
      reason: 'closed',
      message: 'this broker is closed',
    })
  expect(faults.disconnect()).toBe(0)
  faults.heal()
})

test.each(['real', 'virtual'] as const)('what is in flight when it closes is answered: %s clock', async (clock) => {
  const folder = mkdtempSync(join(tmpdir(), 'odradek-closing-'))
  for (const store of ['memory:', `file:${join(folder, 'data')}`]) {
    const { topics, close } = await startBroker({ store, clock })
    const places = topics.produce('orders', { value: 'one' })
    // What is only asked for after it is not.
    const listed = topics.produce('more', { value: 'two' }).then(() => topics.list())
    const refused = expect(listed).rejects.toMatchObject({ reason: 'closed' })
    await Promise.all([close(), close()])
    expect(await places).toEqual([{ partition: 0, offset: 0 }])
    await refused
  }
  const again = await startBroker({ store: `file:${join(folder, 'data')}` })
  expect((await again.topics.records('orders')).map(({ value }) => value)).toEqual(['one'])
  expect((await again.topics.records('more')).map(({ value }) => value)).toEqual(['two'])
  await again.close()
  rmSync(folder, { recursive: true })
})
