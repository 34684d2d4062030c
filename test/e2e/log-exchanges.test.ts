// Exchanges that remember: kafkajs produces to a topic, amqplib binds queues to the exchange it is, early and late.
// Promises: real sockets, a restart on the same files; every wait ends with its event or fails.
// Does not know: how cursors copy.

import amqp, { type ChannelModel, type ConfirmChannel, type ConsumeMessage } from 'amqplib'
import type { Admin, Producer } from 'kafkajs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KafkajsClients } from './kafkajs-clients.ts'
import { Arrivals, openPlace, within, type Place } from './place.ts'

let place: Place
let kafka: KafkajsClients
let producer: Producer
let admin: Admin
let client: ChannelModel
let channel: ConfirmChannel

async function connect(): Promise<void> {
  kafka = new KafkajsClients(place.address)
  producer = await kafka.producer()
  admin = await kafka.admin()
  client = await amqp.connect(place.url)
  channel = await client.createConfirmChannel()
}

async function disconnect(): Promise<void> {
  // What was acknowledged goes before a channel's end, not before a connection's.
  await channel.close()
  await client.close()
  await kafka.close()
}

async function restart(): Promise<void> {
  await disconnect()
  await place.restart()
  await connect()
}

beforeEach(async () => {
  place = await openPlace('file:')
  await connect()
})
afterEach(async () => {
  await disconnect()
  await place.close()
})

const produce = (topic: string, ...messages: { key?: string; value: string; partition?: number; headers?: object }[]) =>
  producer.send({ topic, messages: messages as never })

/** What is in the queue, and what comes. */
async function consumed(queue: string): Promise<Arrivals<ConsumeMessage>> {
  const arrivals = new Arrivals<ConsumeMessage>()
  await channel.consume(queue, (message) => {
    if (message === null) return
    arrivals.add(message)
    channel.ack(message)
  })
  return arrivals
}

const bodies = (arrivals: Arrivals<ConsumeMessage>): string[] => arrivals.all.map(({ content }) => content.toString())
const arrive = (arrivals: Arrivals<ConsumeMessage>, count: number) =>
  arrivals.until(`${count} messages`, (all) => all.length >= count)

/** What the channel was closed with. */
async function refusedWith(call: (on: ConfirmChannel) => Promise<unknown>): Promise<number> {
  const on = await client.createConfirmChannel()
  const ended = new Promise<{ code?: number }>((resolve) => on.once('error', resolve))
  await call(on).catch(() => undefined)
  return (await within('the refusal', ended)).code ?? 0
}

test('a topic of Kafka’s clients is an exchange: who binds late is given what was before, once, across a restart', async () => {
  await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 3 }] })
  const keys = ['eu.new', 'us.new', 'eu.paid']
  for (let round = 0; round < 4; round++)
    await produce('orders', ...keys.map((key) => ({ key, value: `${key} ${round}`, headers: { kind: 'k' } })))
  await channel.assertExchange('orders', 'x-log')
  await channel.assertQueue('late', { durable: true })
  await channel.bindQueue('late', 'orders', 'eu.*', { 'x-stream-offset': 'first' })
  await channel.assertQueue('next', { durable: true })
  await channel.bindQueue('next', 'orders', '#')
  const late = await consumed('late')
  await arrive(late, 8)
  for (const key of ['eu.new', 'eu.paid'])
    expect(bodies(late).filter((body) => body.startsWith(key))).toEqual([0, 1, 2, 3].map((round) => `${key} ${round}`))
  expect(late.all[0].fields).toMatchObject({ exchange: 'orders', redelivered: false })
  expect(late.all[0].properties.headers).toMatchObject({ kind: 'k', 'x-key': late.all[0].fields.routingKey })

  await restart()
  await produce('orders', { key: 'eu.new', value: 'by kafka' })
  await channel.publish('orders', 'us.old', Buffer.from('by amqp'), { messageId: 'm' })
  await channel.waitForConfirms()
  const [lateAgain, next] = [await consumed('late'), await consumed('next')]
  await arrive(lateAgain, 1)
  await arrive(next, 2)
  expect(bodies(lateAgain)).toEqual(['by kafka'])
  expect(bodies(next).sort()).toEqual(['by amqp', 'by kafka'])
  expect(next.all.find(({ properties }) => properties.messageId === 'm')?.fields.routingKey).toBe('us.old')
  const end = (await admin.fetchTopicOffsets('orders')).reduce((sum, { high }) => sum + Number(high), 0)
  expect(end).toBe(14)
  await restart()
  expect(await channel.checkQueue('late')).toMatchObject({ messageCount: 0 })
  expect(await channel.checkQueue('next')).toMatchObject({ messageCount: 0 })
})

test('an exchange makes its topic, keeps what nobody is bound for, and goes with it', async () => {
  await channel.assertExchange('events', 'x-log', { arguments: { 'x-partitions': 2 } })
  let isReturned = false
  channel.on('return', () => (isReturned = true))
  for (const kind of ['a', 'b'])
    channel.publish('events', 'k', Buffer.from(kind), { mandatory: true, headers: { kind, 'x-key': kind } })
  await channel.waitForConfirms()
  expect(isReturned).toBe(false)
  const { topics } = await admin.fetchTopicMetadata({ topics: ['events'] })
  expect(topics[0].partitions).toHaveLength(2)
  const reader = await kafka.consumer('g')
  const received = await kafka.receive(reader, 'events')
  await received.until('both', (all) => all.length === 2)
  // Whoever reads a topic that goes makes it again by asking for it.
  await reader.disconnect()

  await channel.assertQueue('as', { durable: true })
  await channel.bindQueue('as', 'events', '', { 'x-match': 'all', kind: 'a', 'x-stream-offset': 'first' })
  await channel.assertExchange('fan', 'fanout')
  await channel.assertQueue('fanned', { durable: true })
  await channel.bindQueue('fanned', 'fan', '')
  await channel.bindExchange('fan', 'events', 'k', { 'x-stream-offset': 0 })
  const [as, fanned] = [await consumed('as'), await consumed('fanned')]
  await arrive(as, 1)
  await arrive(fanned, 2)
  expect(bodies(as)).toEqual(['a'])
  expect(bodies(fanned).sort()).toEqual(['a', 'b'])

  await channel.unbindExchange('fan', 'events', 'k', { 'x-stream-offset': 0 })
  await channel.publish('events', 'k', Buffer.from('again'), { headers: { kind: 'a' } })
  await channel.waitForConfirms()
  await arrive(as, 2)
  await channel.deleteExchange('events')
  expect(await admin.listTopics()).not.toContain('events')
  expect(await channel.checkQueue('fanned')).toMatchObject({ messageCount: 0 })
})

test('an exchange, a queue and a topic are one: the topic goes with the last of what AMQP’s clients made it for', async () => {
  await channel.assertExchange('all', 'x-log')
  await channel.assertQueue('copies', { durable: true })
  await channel.bindQueue('copies', 'all', '#')
  const copies = await consumed('copies')
  // `durable` is what the topic is.
  await channel.assertQueue('all', { durable: false })
  channel.sendToQueue('all', Buffer.from('by its name'))
  channel.publish('all', 'k', Buffer.from('by the exchange'))
  await channel.waitForConfirms()
  const all = await consumed('all')
  await arrive(all, 2)
  await arrive(copies, 2)
  expect(copies.all.map(({ fields }) => [fields.exchange, fields.routingKey])).toEqual([
    ['all', 'all'],
    ['all', 'k'],
  ])
  await channel.deleteQueue('all')
  channel.publish('all', 'k', Buffer.from('still'))
  await channel.waitForConfirms()
  await arrive(copies, 3)
  await channel.assertQueue('all', { durable: true })
  await channel.deleteExchange('all')
  expect(await channel.checkQueue('all')).toMatchObject({ messageCount: 3 })
  await channel.deleteQueue('all')
  expect(await admin.listTopics()).not.toContain('all')
})

test('DeleteTopics ends the exchange; the end of the exchange leaves a topic of Kafka’s clients', async () => {
  await admin.createTopics({ topics: [{ topic: 'one' }, { topic: 'two' }] })
  await channel.assertExchange('one', 'x-log')
  await channel.assertExchange('two', 'x-log')
  await channel.assertQueue('q', { durable: true })
  await channel.bindQueue('q', 'one', '#')
  await channel.bindQueue('q', 'two', '#')
  await admin.deleteTopics({ topics: ['one'] })
  expect(await refusedWith((on) => on.checkExchange('one'))).toBe(404)
  await channel.deleteExchange('two')
  expect(await admin.listTopics()).toContain('two')
  await channel.assertExchange('two', 'x-log')
  await produce('two', { value: 'x' })
  expect(await channel.checkQueue('q')).toMatchObject({ messageCount: 0 })
})

test('loops, and what has no meaning, are refused', async () => {
  await channel.assertExchange('a', 'x-log')
  await channel.assertExchange('b', 'x-log')
  await channel.assertExchange('plain', 'topic')
  await channel.bindExchange('b', 'a', '#')
  await channel.bindExchange('plain', 'b', '#')
  const refused: ((on: ConfirmChannel) => Promise<unknown>)[] = [
    (on) => on.bindExchange('a', 'plain', '#'),
    (on) => on.bindExchange('a', 'b', '#'),
    (on) => on.bindExchange('a', 'a', '#'),
    async (on) => {
      await on.assertQueue('a', { durable: true })
      await on.bindQueue('a', 'plain', 'x')
    },
    (on) => on.assertExchange('c', 'x-log', { durable: false }),
    (on) => on.assertExchange('c', 'x-log', { autoDelete: true }),
    (on) => on.assertExchange('c', 'x-log', { alternateExchange: 'plain' }),
    (on) => on.assertExchange('c', 'x-log', { arguments: { 'x-partitions': 0 } }),
    (on) => on.bindExchange('plain', 'a', '#', { 'x-stream-offset': 'sometime' }),
  ]
  for (const call of refused) expect(await refusedWith(call)).toBe(406)
  await channel.assertQueue('own', { exclusive: true })
  await channel.bindQueue('own', 'b', '#', { 'x-stream-offset': 'first' })
  const own = await consumed('own')
  channel.publish('a', 'k', Buffer.from('through both'))
  await channel.waitForConfirms()
  await arrive(own, 1)
  expect(bodies(own)).toEqual(['through both'])
})

test('a queue that refuses at its length is waited for, and nothing is lost', async () => {
  await admin.createTopics({ topics: [{ topic: 'burst' }] })
  await produce('burst', ...Array.from({ length: 40 }, (_, value) => ({ value: String(value) })))
  await channel.assertExchange('burst', 'x-log')
  await channel.assertQueue('small', {
    durable: true,
    arguments: { 'x-max-length': 5, 'x-overflow': 'reject-publish' },
  })
  await channel.bindQueue('small', 'burst', '#', { 'x-stream-offset': 'first' })
  const small = await consumed('small')
  await arrive(small, 40)
  expect(bodies(small)).toEqual(Array.from({ length: 40 }, (_, value) => String(value)))
})
