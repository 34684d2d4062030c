// odradek lag: groups and queues in one table, with clients of both worlds at work.
// Promises: everything through the built program, as a user calls it, at a broker in this process.
// Does not know: how lag is counted (src/broker/lag-desk.test.ts).

import { connect, type ChannelModel } from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBroker, type RunningBroker } from '../../src/index.ts'
import { odradek, type Ended } from './program.ts'

let broker: RunningBroker
let amqp: ChannelModel
let kafka: Kafka
let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'odradek-lag-'))
  broker = await startBroker({ store: `file:${folder}`, logLevel: 'error' })
  amqp = await connect(broker.amqp)
  kafka = new Kafka({ brokers: [broker.kafka], logLevel: logLevel.NOTHING })
})
afterAll(async () => {
  await amqp.close()
  await broker.close()
  rmSync(folder, { recursive: true, force: true })
})

const lag = (...args: string[]): Promise<Ended> => odradek(['lag', '--data', folder, '--over', '20ms', ...args])
async function json(...args: string[]): Promise<unknown> {
  const { out, err } = await lag(...args, '--json')
  expect(err).toBe('')
  return JSON.parse(out)
}

test('nobody is behind where nobody is', async () => {
  expect(await lag()).toEqual({ code: 0, out: 'There are no groups and no queues.\n', err: '' })
  expect(await lag('none')).toEqual({
    code: 3,
    out: '',
    err: 'odradek: no group or queue is named none, or is over a topic of that name\n',
  })
})

test('a group and two queues, the one furthest behind first', async () => {
  const admin = kafka.admin()
  const producer = kafka.producer()
  await Promise.all([admin.connect(), producer.connect()])
  await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 2 }] })
  for (const partition of [0, 1])
    await producer.send({ topic: 'orders', messages: Array.from({ length: 5 }, () => ({ partition, value: 'order' })) })
  // From outside, as a group without members.
  const reset = ['groups', 'reset', 'billing', '--topic', 'orders', '--to-offset', '4', '--kafka', broker.kafka]
  expect(await odradek(reset)).toMatchObject({ code: 0, err: '' })
  await Promise.all([admin.disconnect(), producer.disconnect()])

  const channel = await amqp.createConfirmChannel()
  await channel.assertQueue('mails')
  await channel.assertQueue('done')
  for (let sent = 0; sent < 7; sent++) channel.sendToQueue('mails', Buffer.from('mail'))
  await channel.waitForConfirms()
  for (let taken = 0; taken < 3; taken++) {
    const message = await channel.get('mails')
    if (message !== false && taken === 0) channel.ack(message)
  }
  const row = { bytes: expect.any(Number), bytesAreEstimated: true, oldestMs: expect.any(Number), rate: 0, incoming: 0 }
  const nothing = { bytes: 0, bytesAreEstimated: false, oldestMs: null, rate: 0, incoming: 0, drainMs: null }
  const rows = [
    { ...row, kind: 'queue', name: 'mails', topic: 'mails', partitions: 1, lag: 6, unacknowledged: 2, drainMs: null },
    {
      ...row,
      kind: 'group',
      name: 'billing',
      topic: 'orders',
      partitions: 2,
      lag: 2,
      unacknowledged: 0,
      drainMs: null,
    },
    { ...nothing, kind: 'queue', name: 'done', topic: 'done', partitions: 1, lag: 0, unacknowledged: 0 },
  ]
  expect(await json()).toEqual(rows)
  expect(await json('orders')).toEqual([rows[1]])
  expect(await json('mails')).toEqual([rows[0]])
  const lines = (await lag()).out.split('\n').map((line) => line.replaceAll(/ {2,}/g, '|'))
  expect(lines[0]).toBe('KIND|NAME|TOPIC|PARTITIONS|LAG|BYTES|OLDEST|PER SECOND|DRAINED IN')
  expect(lines[1]).toMatch(/^queue\|mails\|mails\|1\|6\|~\d+ B\|\d+ (ms|s)\|0\|never$/)
  expect(lines[2]).toMatch(/^group\|billing\|orders\|2\|2\|~\d+ B\|\d+ (ms|s)\|0\|never$/)
  expect(lines[3]).toBe('queue|done|done|1|0|0 B|-|0|-')
  await channel.close()
})

test('what is worked off while it looks has a rate and an end', async () => {
  const channel = await amqp.createConfirmChannel()
  await channel.assertQueue('busy')
  for (let sent = 0; sent < 3000; sent++) channel.sendToQueue('busy', Buffer.from('x'))
  await channel.waitForConfirms()
  // Two hundred a second at most: however late it looks, there is work.
  await channel.prefetch(2)
  const { consumerTag } = await channel.consume('busy', (message) => {
    if (message !== null) setTimeout(() => channel.ack(message), 10)
  })
  const { out } = await odradek(['lag', 'busy', '--data', folder, '--over', '300ms', '--json'])
  const [row] = JSON.parse(out) as { rate: number; incoming: number; drainMs: number; lag: number }[]
  expect(row.rate).toBeGreaterThan(0)
  expect(row.incoming).toBe(0)
  expect(row.drainMs).toBeCloseTo((row.lag / row.rate) * 1000, -1)
  await channel.cancel(consumerTag)
})

test('a time that is none is wrong usage', async () => {
  for (const over of ['soon', '0s', '2w', '11m']) {
    const { code, err } = await lag('--over', over)
    expect({ over, code, lines: err.split('\n').length }).toEqual({ over, code: 2, lines: 2 })
  }
})
