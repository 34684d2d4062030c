// Several queues over one log, with real clients of both worlds: further ledgers, their filters, and what holds a log.
// Promises: real sockets; every wait ends with its event or fails.
// Does not know: how anything is stored.

import amqp, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib'
import { Kafka, logLevel, type Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Arrivals, openPlace, stores, within, type Place } from './place.ts'

const text = (message: ConsumeMessage | null): string => message?.content.toString() ?? 'cancelled'

/** What a channel's end says. */
const endOf = (of: Channel): Promise<string> =>
  within('an error', new Promise((resolve) => of.once('error', (error: Error) => resolve(error.message))))

const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, at) => String(from + at))

describe.each(stores)('on %s', (kind) => {
  let place: Place
  let client: ChannelModel
  let kafka: Kafka
  let producer: Producer
  const connect = async (): Promise<void> => {
    client = await amqp.connect(place.url)
    client.on('error', () => undefined)
    kafka = new Kafka({ brokers: [place.address], logLevel: logLevel.NOTHING, retry: { retries: 2 } })
    producer = kafka.producer()
    await producer.connect()
  }
  const disconnect = async (): Promise<void> => {
    await producer.disconnect()
    await client.close()
  }
  beforeAll(async () => {
    place = await openPlace(kind)
    await connect()
  })
  afterAll(async () => {
    await disconnect()
    await place.close()
  })

  /** Consumes and acknowledges. */
  async function worker(queue: string): Promise<Arrivals<string>> {
    const channel = await client.createChannel()
    const arrived = new Arrivals<string>()
    await channel.consume(queue, (message) => {
      arrived.add(text(message))
      if (message !== null) channel.ack(message)
    })
    return arrived
  }

  const produce = (topic: string, values: readonly string[], key?: (value: string) => string) =>
    producer.send({ topic, messages: values.map((value) => ({ value, key: key?.(value) ?? null })) })

  async function makeTopic(topic: string, numPartitions = 1): Promise<void> {
    const admin = kafka.admin()
    await admin.connect()
    await admin.createTopics({ topics: [{ topic, numPartitions }] })
    await admin.disconnect()
  }

  async function topics(): Promise<string[]> {
    const admin = kafka.admin()
    await admin.connect()
    const all = await admin.listTopics()
    await admin.disconnect()
    return all
  }

  test('a topic of kafkajs is worked off by its queue, read by an auditor and by one who wants a few', async () => {
    await makeTopic('orders')
    await produce('orders', numbers(50), (value) => (Number(value) % 5 === 0 ? 'eu.new' : 'us.new'))
    const channel = await client.createChannel()
    await channel.assertQueue('orders')
    await channel.assertQueue('audit', { arguments: { 'x-log': 'orders' } })
    await channel.assertQueue('europe', { arguments: { 'x-log': 'orders', 'x-filter-key': 'eu.*' } })
    const [orders, audit, europe] = [await worker('orders'), await worker('audit'), await worker('europe')]
    await produce('orders', numbers(50, 50), (value) => (Number(value) % 5 === 0 ? 'eu.new' : 'us.new'))
    expect(await orders.until('all orders', ({ length }) => length === 100)).toEqual(numbers(100))
    expect(await audit.until('all audited', ({ length }) => length === 100)).toEqual(numbers(100))
    const few = numbers(100).filter((value) => Number(value) % 5 === 0)
    expect(await europe.until('those of Europe', ({ length }) => length === few.length)).toEqual(few)
    expect(await topics()).toContain('orders')
    expect(await topics()).not.toContain('audit')
    await channel.close()
  })

  test('a filter by headers; a message that does not match is gone from this queue alone', async () => {
    const channel = await client.createConfirmChannel()
    await channel.assertQueue('mails')
    const filter = { 'x-match': 'any', kind: 'order', urgent: true }
    const withFilter = { 'x-log': 'mails', 'x-filter-headers': filter, 'x-max-length': 1000 }
    await channel.assertQueue('mails.few', { arguments: withFilter })
    // Declared again it is the same.
    await channel.assertQueue('mails.few', { arguments: withFilter })
    for (const [body, headers] of [
      ['a', { kind: 'order' }],
      ['b', { kind: 'news' }],
      ['c', { kind: 'news', urgent: true }],
      ['d', undefined],
    ] as const)
      channel.sendToQueue('mails', Buffer.from(body), { headers })
    await channel.waitForConfirms()
    const got = await worker('mails.few')
    expect(await got.until('two', ({ length }) => length === 2)).toEqual(['a', 'c'])
    expect(await channel.checkQueue('mails')).toMatchObject({ messageCount: 4 })
    await channel.close()
  })

  test('what cannot be is refused', async () => {
    const make = await client.createChannel()
    await make.assertQueue('base')
    await make.assertQueue('base.second', { arguments: { 'x-log': 'base', 'x-expires': 60_000 } })
    const refusals: [string, Record<string, unknown>, string][] = [
      [
        'one',
        { 'x-log': 'nothing' },
        "404 (NOT-FOUND) with message \"NOT_FOUND - no topic or queue 'nothing' in vhost '/'\"",
      ],
      ['one', { 'x-log': 'base' }, 'x-expires or x-max-length is needed'],
      ['one', { 'x-log': 'base.second', 'x-expires': 9000 }, "is a ledger over another's log itself"],
      ['one', { 'x-log': 'base', 'x-expires': 9000, 'x-max-priority': 3 }, "invalid arg 'x-max-priority'"],
      ['one', { 'x-filter-key': '#' }, 'only a queue with x-log has a filter'],
      ['one', { 'x-log': 'base', 'x-filter-headers': 'x' }, '{unacceptable_type,longstr}'],
      ['one', { 'x-log': 'base', 'x-filter-headers': { 'x-match': 'some' } }, 'expected all, any'],
      ['base.second', { 'x-log': 'other', 'x-expires': 60_000 }, "inequivalent arg 'x-log'"],
      ['base', { 'x-log': 'base.second' }, "inequivalent arg 'x-log'"],
    ]
    for (const [queue, args, why] of refusals) {
      const channel = await client.createChannel()
      const end = endOf(channel)
      await expect(channel.assertQueue(queue, { arguments: args })).rejects.toThrow()
      expect(await end).toContain(why)
    }
    for (const use of [
      (channel: Channel) => channel.bindQueue('base.second', 'amq.direct', 'x'),
      (channel: Channel) => channel.deleteQueue('base'),
    ]) {
      const channel = await client.createChannel()
      const end = endOf(channel)
      await expect(use(channel)).rejects.toThrow()
      expect(await end).toMatch(/base.second|in use/)
    }
    const channel = await client.createConfirmChannel()
    const returned = new Arrivals<string>()
    channel.on('return', (message: ConsumeMessage) => returned.add(text(message)))
    channel.sendToQueue('base.second', Buffer.from('lost'), { mandatory: true })
    await returned.until('the message', ({ length }) => length === 1)
    await channel.deleteQueue('base.second')
    await channel.deleteQueue('base')
    await channel.close()
    await make.close()
  })

  test('DeleteTopics takes all ledgers with it, and cancels their consumers', async () => {
    await makeTopic('doomed')
    const channel = await client.createChannel()
    await channel.assertQueue('doomed.audit', { arguments: { 'x-log': 'doomed' } })
    const own = { exclusive: true, arguments: { 'x-log': 'doomed' } }
    const { queue } = await channel.assertQueue('doomed.mine', own)
    const [audit, mine] = [await worker('doomed.audit'), await worker(queue)]
    await produce('doomed', ['a'])
    await audit.until('one', ({ length }) => length === 1)
    await mine.until('one', ({ length }) => length === 1)
    const admin = kafka.admin()
    await admin.connect()
    await admin.deleteTopics({ topics: ['doomed'] })
    await admin.disconnect()
    expect(await audit.until('a cancel', ({ length }) => length === 2)).toEqual(['a', 'cancelled'])
    expect(await mine.until('a cancel', ({ length }) => length === 2)).toEqual(['a', 'cancelled'])
    const end = endOf(channel)
    await expect(channel.checkQueue('doomed.audit')).rejects.toThrow()
    expect(await end).toContain('404')
  })

  test('where it begins is asked for, and a length bounds it', async () => {
    await makeTopic('places')
    await produce('places', numbers(10))
    const channel = await client.createChannel()
    await channel.assertQueue('places.next', { arguments: { 'x-log': 'places', 'x-start': 'next' } })
    await channel.assertQueue('places.six', { arguments: { 'x-log': 'places', 'x-start': 6 } })
    await channel.assertQueue('places.mine', { durable: false, arguments: { 'x-log': 'places', 'x-start': 8 } })
    await channel.assertQueue('places.last', { arguments: { 'x-log': 'places', 'x-max-length': 3 } })
    await produce('places', numbers(2, 10))
    for (const [queue, expected] of [
      ['places.next', ['10', '11']],
      ['places.six', numbers(6, 6)],
      ['places.mine', numbers(4, 8)],
      ['places.last', ['9', '10', '11']],
    ] as const)
      expect(await (await worker(queue)).until(queue, ({ length }) => length === expected.length)).toEqual(expected)
    await channel.close()
  })

  test('over several partitions, and over those that come later', async () => {
    await makeTopic('wide', 3)
    const channel = await client.createChannel()
    await channel.assertQueue('wide')
    await channel.assertQueue('wide.audit', { arguments: { 'x-log': 'wide' } })
    const odd = { 'x-log': 'wide', 'x-filter-key': 'odd' }
    await channel.assertQueue('wide.odd', { arguments: odd })
    const all = [await worker('wide'), await worker('wide.audit')]
    const some = await worker('wide.odd')
    const keyOf = (value: string): string => (Number(value) % 2 === 1 ? 'odd' : value)
    await produce('wide', numbers(60), keyOf)
    for (const one of all) await one.until('all three', ({ length }) => length === 60)
    const admin = kafka.admin()
    await admin.connect()
    await admin.createPartitions({ topicPartitions: [{ topic: 'wide', count: 5 }] })
    // One who does not know the topic as it was.
    const later = kafka.producer()
    await later.connect()
    for (const partition of [3, 4])
      await later.send({ topic: 'wide', messages: [{ value: `new ${partition}`, key: 'odd', partition }] })
    await later.disconnect()
    await admin.disconnect()
    for (const one of all) {
      const values = await one.until('all five', ({ length }) => length === 62)
      expect([...values].sort()).toEqual([...numbers(60), 'new 3', 'new 4'].sort())
    }
    const values = await some.until('the odd ones', ({ length }) => length === 32)
    const expected = [...numbers(60).filter((value) => keyOf(value) === 'odd'), 'new 3', 'new 4']
    expect([...values].sort()).toEqual(expected.sort())
    await channel.close()
  })

  test.runIf(kind === 'file:')('a restart keeps what is durable of them', async () => {
    await makeTopic('kept')
    await produce('kept', numbers(10))
    const channel = await client.createChannel()
    await channel.assertQueue('kept.audit', { arguments: { 'x-log': 'kept', 'x-start': 2 } })
    await channel.assertQueue('kept.brief', { durable: false, arguments: { 'x-log': 'kept' } })
    for (const expected of ['2', '3']) {
      const message = await channel.get('kept.audit')
      if (message === false) throw new Error('a message was expected')
      expect(text(message as unknown as ConsumeMessage)).toBe(expected)
      channel.ack(message)
    }
    await channel.close()
    await disconnect()
    await place.restart()
    await connect()
    const rest = await worker('kept.audit')
    await produce('kept', numbers(2, 10))
    expect(await rest.until('the rest', ({ length }) => length === 8)).toEqual(numbers(8, 4))
    const other = await client.createChannel()
    const end = endOf(other)
    await expect(other.checkQueue('kept.brief')).rejects.toThrow()
    expect(await end).toContain('404')
  })
})
