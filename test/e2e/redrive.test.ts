// Dead letters sent back, from the command line: what kafkajs wrote and amqplib refused is worked on once more.
// Promises: everything through the built program, at a broker in this process; no sleeps.
// Does not know: what a step does when it fails (redrive.test.ts beside it).

import amqp, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServer, type RunningServer } from '../../src/server/start.ts'
import { KafkajsClients } from './kafkajs-clients.ts'
import { Arrivals, within } from './place.ts'
import { main, odradek, start } from './program.ts'

let broker: RunningServer
let clients: KafkajsClients
let client: ChannelModel
let channel: Channel
let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'odradek-redrive-'))
  broker = await startServer({
    store: `file:${folder}`,
    kafka: '127.0.0.1:0',
    amqp: '127.0.0.1:0',
    logLevel: 'error',
  })
  clients = new KafkajsClients(broker.kafka.address)
  client = await amqp.connect(broker.amqp.url)
  channel = await client.createChannel()
})
afterAll(async () => {
  await client.close()
  await clients.close()
  await broker.close()
  rmSync(folder, { recursive: true, force: true })
})

const redrive = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
  const ended = await odradek(['dlq', 'redrive', ...args, '--json', '--data', folder])
  expect(ended).toMatchObject({ code: 0, err: '' })
  return JSON.parse(ended.out) as Record<string, unknown>
}

async function produce(topic: string, count: number): Promise<void> {
  const producer = await clients.producer()
  const messages = Array.from({ length: count }, (_, index) => ({ key: `k.${index}`, value: `v${index}` }))
  await producer.send({ topic, messages })
}

/** Everything the queue has and gets is refused; answers what came. */
async function refuseAll(queue: string, count: number): Promise<void> {
  const refused = new Arrivals<string>()
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) return
    refused.add(message.content.toString())
    channel.reject(message, false)
  })
  await refused.until(`${count} refused`, ({ length }) => length >= count)
  await channel.cancel(consumerTag)
}

async function take(queue: string, count: number): Promise<readonly ConsumeMessage[]> {
  const arrived = new Arrivals<ConsumeMessage>()
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) return
    arrived.add(message)
    channel.ack(message)
  })
  const all = await arrived.until(`${count} messages`, ({ length }) => length >= count)
  await channel.cancel(consumerTag)
  return all
}

/** Dead letters are moved a turn after they died. */
async function messagesIn(queue: string, count: number): Promise<void> {
  const look = async (): Promise<void> => {
    while ((await channel.checkQueue(queue)).messageCount !== count);
  }
  await within(`${count} messages in ${queue}`, look())
}

test('a dead letter topic: counted, filtered, copied back to where each was', async () => {
  await produce('orders', 5)
  await channel.assertQueue('orders', { durable: true, arguments: { 'x-dead-letter-topic': 'orders.dlq' } })
  const consumer = await clients.consumer('readers of the dead')
  await refuseAll('orders', 5)
  const dead = await clients.receive(consumer, 'orders.dlq')
  await dead.until('all dead', ({ length }) => length >= 5)

  expect(await redrive('orders.dlq', '--dry-run')).toMatchObject({
    dry_run: true,
    looked: 5,
    moved: 5,
    samples: [
      { partition: 0, offset: 0, routing_key: 'k.0', reason: 'rejected', queue: 'orders', to: 'orders' },
      {},
      {},
      {},
      {},
    ],
  })
  expect(await redrive('orders.dlq', '--filter', 'key=*.3', '--filter', 'reason=rejected')).toMatchObject({
    looked: 5,
    moved: 1,
    filtered: 4,
    stranded: 0,
    last_offsets: [{ partition: 0, offset: 4 }],
  })
  const [again] = await take('orders', 1)
  expect(again.content.toString()).toBe('v3')
  expect(again.fields.routingKey).toBe('k.3')
  expect(again.properties.headers).toMatchObject({
    'x-key': 'k.3',
    'x-redriven': 1,
    'x-source-topic': 'orders',
    'x-source-offset': 3,
    'x-stream-offset': 5,
    'x-death': [{ queue: 'orders', reason: 'rejected', count: 1 }],
  })
  expect(await redrive('orders.dlq', '--from', '3', '--to', 'orders')).toMatchObject({ looked: 2, moved: 2 })
  expect((await take('orders', 2)).map(({ content }) => content.toString())).toEqual(['v3', 'v4'])
})

test('records of any topic, all its partitions, to a queue: those from an offset on', async () => {
  const admin = await clients.admin()
  await admin.createTopics({ topics: [{ topic: 'wide', numPartitions: 3 }] })
  const producer = await clients.producer()
  for (const partition of [0, 1, 2]) {
    const messages = ['a', 'b', 'c'].map((value) => ({ value: `${value}${partition}`, partition }))
    await producer.send({ topic: 'wide', messages })
  }
  await channel.assertQueue('gathered', { durable: true })
  // Nobody says where they came from.
  expect(await redrive('wide')).toMatchObject({ looked: 9, moved: 0, stranded: 9 })
  expect(await redrive('wide', '--to', 'gathered', '--from', '1')).toMatchObject({
    looked: 6,
    moved: 6,
    last_offsets: [0, 1, 2].map((partition) => ({ partition, offset: 2 })),
  })
  const bodies = (await take('gathered', 6)).map(({ content }) => content.toString())
  expect(bodies).toEqual(['b0', 'c0', 'b1', 'c1', 'b2', 'c2'])
})

test('a dead letter queue: moved, not faster than asked for, others left', async () => {
  await channel.assertQueue('dead', { durable: true })
  await channel.assertQueue('work', {
    durable: true,
    arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' },
  })
  for (let index = 0; index < 30; index++)
    channel.sendToQueue('work', Buffer.from(`w${index}`), { headers: { half: index % 2 } })
  await refuseAll('work', 30)
  await messagesIn('dead', 30)
  const beganMs = performance.now()
  expect(await redrive('dead', '--filter', 'header:half=1', '--rate', '30')).toMatchObject({ moved: 15, filtered: 15 })
  expect(performance.now() - beganMs).toBeGreaterThan(400)
  const moved = await take('work', 15)
  expect(moved.map(({ content }) => content.toString())).toEqual(
    Array.from({ length: 15 }, (_, at) => `w${2 * at + 1}`),
  )
  expect(moved[0].fields).toMatchObject({ exchange: '', routingKey: 'work' })
  await messagesIn('dead', 15)
  expect(await redrive('dead', '--to', 'orders.dlq')).toMatchObject({ moved: 15 })
  await messagesIn('dead', 0)
})

test('in words, interrupted, and refused', async () => {
  for (let index = 0; index < 200; index++) channel.sendToQueue('dead', Buffer.from('x'))
  await messagesIn('dead', 200)
  const running = start(main, ['dlq', 'redrive', 'dead', '--to', 'work', '--rate', '20', '--data', folder])
  const errors = new Arrivals<string>()
  running.process.stderr?.on('data', (chunk: Buffer) => errors.add(chunk.toString()))
  await errors.until('a line of progress', ({ length }) => length > 0)
  running.process.kill('SIGINT')
  const ended = await running.ended
  expect(ended.code).toBe(0)
  const moved = Number(/^Redriven (\d+) of \d+ looked at; interrupted\.\nLast offset: /.exec(ended.out)?.[1])
  expect(moved).toBeGreaterThan(0)
  await messagesIn('dead', 200 - moved)
  await messagesIn('work', moved)

  await channel.assertQueue('short-lived')
  const cut = start(main, ['dlq', 'redrive', 'dead', '--to', 'short-lived', '--rate', '20', '--data', folder])
  const progress = new Arrivals<string>()
  cut.process.stderr?.on('data', (chunk: Buffer) => progress.add(chunk.toString()))
  await progress.until('a line of progress', ({ length }) => length > 0)
  await channel.deleteQueue('short-lived')
  const failed = await cut.ended
  expect([failed.code, failed.err]).toEqual([
    3,
    expect.stringMatching(
      /Redriven \d+ of \d+ looked at, and then it failed\.\nodradek: no queue or topic 'short-lived'/,
    ),
  ])

  await channel.assertQueue('beside', { arguments: { 'x-log': 'orders' } })
  const failing = async (...args: string[]) => odradek(['dlq', 'redrive', ...args, '--data', folder])
  expect(await failing('nothing')).toMatchObject({
    code: 3,
    err: "odradek: no queue or topic 'nothing' in vhost '/'\n",
  })
  expect(await failing('dead', '--to', 'nothing')).toMatchObject({ code: 3 })
  expect(await failing('dead', '--to', 'dead')).toMatchObject({ code: 1 })
  expect(await failing('dead', '--to', 'beside')).toMatchObject({
    code: 1,
    err: "odradek: nothing can be sent to 'beside': it is a ledger over another topic's log\n",
  })
  expect((await failing('dead', '--filter', 'size=3')).err).toContain('a filter is key=PATTERN')
  expect(await failing('dead', '--rate', '0')).toMatchObject({ code: 2 })
})
