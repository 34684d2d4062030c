// Queues that go on from another place: through the admin socket, while clients of AMQP consume, and across a restart.
// Promises: real sockets, data in a folder; every wait ends with its event or fails.
// Does not know: how a ledger is stored.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import amqp, { type ChannelModel, type ConsumeMessage } from 'amqplib'
import { Kafka, logLevel, type Producer } from 'kafkajs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServer, type RunningServer } from '../../src/server/start.ts'
import { Arrivals } from './place.ts'
import { odradek } from './program.ts'

let folder = ''
let broker: RunningServer
let client: ChannelModel
let producer: Producer

async function begin(kafka = '127.0.0.1:0', amqpAt = '127.0.0.1:0'): Promise<void> {
  broker = await startServer({ store: `file:${folder}`, kafka, amqp: amqpAt, logLevel: 'error' })
  client = await amqp.connect(broker.amqp.url)
  client.on('error', () => undefined)
  producer = new Kafka({ brokers: [broker.kafka.address], logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
}
async function end(): Promise<void> {
  await producer.disconnect()
  await client.close()
  await broker.close()
}
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'odradek-rewind-'))
  await begin()
})
afterAll(async () => {
  await end()
  rmSync(folder, { recursive: true, force: true })
})

const rewind = async (queue: string, ...where: readonly string[]): Promise<unknown> => {
  const ended = await odradek(['queues', 'rewind', queue, ...where, '--data', folder, '--json'])
  expect(ended.err).toBe('')
  return (JSON.parse(ended.out) as { partitions: unknown }).partitions
}
const text = (message: ConsumeMessage | null): string =>
  `${message?.content.toString() ?? 'cancelled'}${message?.fields.redelivered === true ? ' again' : ''}`
const nowMs = Date.now()
const produce = (topic: string, values: readonly string[], timestampMs = nowMs - 3_600_000) =>
  producer.send({ topic, messages: values.map((value) => ({ value, timestamp: String(timestampMs) })) })

async function consume(queue: string, prefetch = 0) {
  const channel = await client.createChannel()
  if (prefetch > 0) await channel.prefetch(prefetch)
  const held: ConsumeMessage[] = []
  const arrived = new Arrivals<string>()
  await channel.consume(queue, (message) => {
    if (message !== null) held.push(message)
    arrived.add(text(message))
  })
  const settle = (): void => {
    for (const message of held.splice(0)) channel.ack(message)
  }
  const next = async (count: number): Promise<string[]> => {
    const from = arrived.all.length - held.length
    const all = await arrived.until(`${count} of ${queue}`, ({ length }) => length >= from + count)
    const given = all.slice(from, from + count)
    settle()
    return given
  }
  return { channel, arrived, settle, next }
}

test('what was worked off comes again from an offset, the start or a time, while consumers stay', async () => {
  const channel = await client.createChannel()
  await produce('orders', ['0', '1', '2', '3', '4'])
  await channel.assertQueue('orders')
  const worker = await consume('orders')
  expect(await worker.next(5)).toEqual(['0', '1', '2', '3', '4'])
  expect(await rewind('orders', '--to-offset', '3')).toEqual([{ partition: 0, offset: 3, cut: false }])
  expect(await worker.next(2)).toEqual(['3', '4'])
  await produce('orders', ['5', '6'], nowMs)
  expect(await worker.next(2)).toEqual(['5', '6'])
  expect(await rewind('orders', '--to', new Date(nowMs - 1_800_000).toISOString())).toEqual([
    { partition: 0, offset: 5, cut: false },
  ])
  expect(await worker.next(2)).toEqual(['5', '6'])
  expect(await rewind('orders', '--to', 'first')).toEqual([{ partition: 0, offset: 0, cut: false }])
  expect(await worker.next(7)).toEqual(['0', '1', '2', '3', '4', '5', '6'])
  await worker.channel.close()
  await channel.close()
})

test('what consumers hold is void: acks of it do nothing and give back credit; forward is possible too', async () => {
  const channel = await client.createChannel()
  await produce('holding', ['a', 'b', 'c', 'd'])
  await channel.assertQueue('holding')
  const worker = await consume('holding', 2)
  await worker.arrived.until('two', ({ length }) => length === 2)
  await rewind('holding', '--to', 'first')
  // Nothing before credit is back; then all of it, though the first two were acknowledged just now.
  worker.settle()
  await worker.arrived.until('two more', ({ length }) => length === 4)
  expect(worker.arrived.all.slice(2)).toEqual(['a', 'b'])
  await rewind('holding', '--to', 'next')
  worker.settle()
  await produce('holding', ['e'])
  await worker.arrived.until('what is new', ({ length }) => length === 5)
  expect(worker.arrived.all[4]).toBe('e')
  worker.settle()
  expect(await channel.checkQueue('holding')).toMatchObject({ messageCount: 0, consumerCount: 1 })
  await worker.channel.close()
  await channel.close()
})

test('of a queue of AMQP what is still there comes again, and of a further ledger what it alone read', async () => {
  const channel = await client.createConfirmChannel()
  await channel.assertQueue('jobs')
  await channel.assertQueue('jobs.audit', { arguments: { 'x-log': 'jobs', 'x-max-length': 100 } })
  for (const body of ['a', 'b', 'c']) channel.sendToQueue('jobs', Buffer.from(body))
  await channel.waitForConfirms()
  const [worker, audit] = [await consume('jobs'), await consume('jobs.audit')]
  expect(await worker.next(3)).toEqual(['a', 'b', 'c'])
  expect(await audit.next(3)).toEqual(['a', 'b', 'c'])
  expect(await rewind('jobs.audit', '--to-offset', '1')).toEqual([{ partition: 0, offset: 1, cut: false }])
  expect(await audit.next(2)).toEqual(['b', 'c'])
  expect(await rewind('jobs', '--to', '1999-12-31')).toEqual([{ partition: 0, offset: 0, cut: false }])
  expect(await worker.next(3)).toEqual(['a', 'b', 'c'])
  expect(worker.arrived.all.length).toBe(6)
  await worker.channel.close()
  await audit.channel.close()
  await channel.close()
})

test('a restart goes on from there, and a message past its own time does not come again', async () => {
  const channel = await client.createConfirmChannel()
  await channel.assertQueue('kept', { arguments: { 'x-log': 'orders', 'x-start': 'next' } })
  await channel.assertQueue('brief')
  channel.sendToQueue('brief', Buffer.from('short'), { expiration: '300' })
  channel.sendToQueue('brief', Buffer.from('long'), { expiration: '600000' })
  channel.sendToQueue('brief', Buffer.from('none'))
  await channel.waitForConfirms()
  const worker = await consume('brief')
  expect(await worker.next(3)).toEqual(['short', 'long', 'none'])
  // Published later with as long a time: when that is past, so is the first one's.
  await channel.assertQueue('late')
  const args = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'late' }
  const clock = await channel.assertQueue('', { exclusive: true, arguments: args })
  channel.sendToQueue(clock.queue, Buffer.from('over'), { expiration: '300' })
  const late = await consume('late')
  expect(await late.next(1)).toEqual(['over'])
  await rewind('brief', '--to', 'first')
  expect(await worker.next(2)).toEqual(['long', 'none'])
  await rewind('brief', '--to', 'first')
  await rewind('kept', '--to-offset', '5')
  await worker.channel.close()
  await channel.close()
  const { kafka, amqp: at } = broker
  await end()
  await begin(kafka.address, at.address)
  const [kept, brief] = [await consume('kept'), await consume('brief')]
  expect(await kept.next(2)).toEqual(['5', '6'])
  expect((await brief.next(2)).map((said) => said.replace(' again', ''))).toEqual(['long', 'none'])
})

test('what cannot be is refused', async () => {
  const channel = await client.createChannel()
  await channel.assertQueue('ranked', { arguments: { 'x-max-priority': 3 } })
  await channel.assertQueue('stream', { arguments: { 'x-queue-type': 'stream' } })
  for (const [queue, where, why] of [
    ['ranked', ['--to', 'first'], 'rewind not supported by queues with priorities'],
    ['stream', ['--to', 'first'], 'rewind not supported by stream queues'],
    ['nothing', ['--to', 'first'], "no queue 'nothing'"],
    ['orders', [], 'give one of --to and --to-offset'],
    ['orders', ['--to', 'soon'], 'is not a time'],
  ] as const) {
    const ended = await odradek(['queues', 'rewind', queue, ...where, '--data', folder])
    expect(ended.code).not.toBe(0)
    expect(ended.err).toContain(why)
  }
  await channel.close()
})
