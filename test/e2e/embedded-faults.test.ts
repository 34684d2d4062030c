// The faults that a program asks its broker for, as real clients meet them.
// Promises: each fault strikes what it names, as often as it says, and ends.
// Does not know: time (embedded-clock.test.ts).

import amqplib, { type ChannelModel } from 'amqplib'
import { Kafka, logLevel, type Producer } from 'kafkajs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startBroker, type Fault, type RunningBroker } from '../../src/index.ts'
import { within } from './place.ts'

let broker: RunningBroker
beforeEach(async () => {
  broker = await startBroker({ logLevel: 'silent' })
})
afterEach(() => broker.close())

const retry = { initialRetryTime: 10, maxRetryTime: 20, retries: 5 }
const kafkaOf = (retries = 5): Kafka =>
  new Kafka({ brokers: [broker.kafka], logLevel: logLevel.NOTHING, requestTimeout: 200, retry: { ...retry, retries } })

async function openProducer(retries?: number, idempotent = false): Promise<Producer> {
  const producer = kafkaOf(retries).producer({ idempotent, retry: { ...retry, retries: retries ?? 5 } })
  await producer.connect()
  return producer
}

const send = (producer: Producer, value: string): Promise<unknown> =>
  producer.send({ topic: 'orders', messages: [{ value }] })
const stored = async (): Promise<unknown[]> => (await broker.topics.records('orders')).map(({ value }) => value)

async function openAmqp(): Promise<ChannelModel> {
  const connection = await amqplib.connect(broker.amqp)
  connection.on('error', () => {})
  return connection
}

describe('answers that are dropped', () => {
  test('a record whose answer is lost is there, and is sent again', async () => {
    const producer = await openProducer()
    await send(producer, 'first')
    const fault = broker.faults.dropResponses(1, { name: 'Produce', thenDisconnect: true })
    await send(producer, 'second')
    expect(fault.hits).toBe(1)
    expect(await stored()).toEqual(['first', 'second', 'second'])
    await producer.disconnect()
  })

  test('an idempotent producer then stores it once', async () => {
    const producer = await openProducer(5, true)
    await send(producer, 'first')
    broker.faults.dropResponses(1, { name: 'Produce', thenDisconnect: true })
    await send(producer, 'second')
    expect(await stored()).toEqual(['first', 'second'])
    await producer.disconnect()
  })

  test('without a cut the client waits for as long as it does; other answers pass', async () => {
    const producer = await openProducer(0)
    await send(producer, 'first')
    const fault = broker.faults.dropResponses(1, { name: 'Produce' })
    await expect(send(producer, 'second')).rejects.toThrow(/timed out/)
    await send(producer, 'third')
    expect(fault.hits).toBe(1)
    expect(await stored()).toEqual(['first', 'second', 'third'])
    await producer.disconnect()
  })

  test('a confirm that is lost', async () => {
    const connection = await openAmqp()
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('work')
    const fault = broker.faults.dropResponses(1, { name: 'basic.ack', thenDisconnect: true })
    channel.sendToQueue('work', Buffer.from('one'))
    await expect(channel.waitForConfirms()).rejects.toThrow()
    expect(fault.hits).toBe(1)
    expect((await broker.queues.counts('work')).ready).toBe(1)
  })

  test('a delivery goes with its content, and what else the connection is told passes', async () => {
    const connection = await openAmqp()
    const channel = await connection.createChannel()
    await channel.assertQueue('work')
    for (const text of ['one', 'two', 'three']) channel.sendToQueue('work', Buffer.from(text.repeat(100_000)))
    await channel.checkQueue('work')
    broker.faults.dropResponses(2, { name: 'basic.deliver' })
    const given = new Promise<string>((resolve) => {
      void channel.consume('work', (message) => resolve(String(message?.content).slice(0, 5)))
    })
    expect(await within('the third', given)).toBe('three')
    await connection.close()
  })

  test('of one protocol: those of the other pass', async () => {
    const producer = await openProducer(0)
    const fault = broker.faults.dropResponses(3, { protocol: 'amqp' })
    await send(producer, 'first')
    expect(fault.hits).toBe(0)
    fault.heal()
    await (await openAmqp()).close()
    await producer.disconnect()
  })
})

describe('answers that are late', () => {
  test('in order, until healed', async () => {
    const connection = await openAmqp()
    const channel = await connection.createChannel()
    const fault = broker.faults.delayResponses(60, { name: 'queue.declare_ok' })
    const beganMs = performance.now()
    const order: string[] = []
    await Promise.all([
      channel.assertQueue('work').then(() => order.push('declared')),
      channel.prefetch(1).then(() => order.push('prefetch')),
    ])
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(55)
    expect(order).toEqual(['declared', 'prefetch'])
    fault.heal()
    expect(fault.hits).toBe(1)
    await channel.checkQueue('work')
    await connection.close()
  })

  test('a broker closes with some of them waiting', async () => {
    const producer = await openProducer(0)
    await send(producer, 'first')
    broker.faults.delayResponses(60_000)
    const lost = expect(send(producer, 'second')).rejects.toThrow()
    await broker.close()
    await lost
  })
})

describe('connections', () => {
  test('are cut, of one protocol or all', async () => {
    const connection = await openAmqp()
    const producer = await openProducer()
    const closed = new Promise((resolve) => connection.once('close', resolve))
    expect(broker.faults.disconnect('amqp')).toBe(1)
    await within('the cut', closed)
    await send(producer, 'first')
    expect(broker.faults.disconnect()).toBeGreaterThanOrEqual(1)
    await send(producer, 'second')
    expect(await stored()).toEqual(['first', 'second'])
    await producer.disconnect()
  })

  test('are refused, until healed', async () => {
    const fault = broker.faults.refuseConnections('amqp')
    await expect(openAmqp()).rejects.toThrow()
    expect(fault.hits).toBe(1)
    await (await openProducer()).disconnect()
    fault.heal()
    await (await openAmqp()).close()
  })
})

describe('the disk', () => {
  test.each(['full', 'io'] as const)('fails as %s, once, and then takes what is sent again', async (as) => {
    const producer = await openProducer()
    await send(producer, 'first')
    const fault = broker.faults.failDisk(as, 1)
    await send(producer, 'second')
    expect(fault.hits).toBe(1)
    expect(await stored()).toEqual(['first', 'second'])
    await producer.disconnect()
  })

  test('fails until healed: nothing is acknowledged, and nothing of it is there after', async () => {
    const connection = await openAmqp()
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('work')
    const fault: Fault = broker.faults.failDisk('io')
    const producer = await openProducer(1)
    channel.sendToQueue('work', Buffer.from('lost'))
    await expect(channel.waitForConfirms()).rejects.toThrow()
    await expect(broker.topics.create('orders')).rejects.toMatchObject({ name: 'RequestRefused' })
    await expect(send(producer, 'lost')).rejects.toThrow()
    expect(fault.hits).toBeGreaterThan(1)
    fault.heal()
    channel.sendToQueue('work', Buffer.from('kept'))
    await channel.waitForConfirms()
    await send(await openProducer(), 'kept')
    expect(await stored()).toEqual(['kept'])
    expect((await broker.topics.records('work')).map(({ value }) => value)).toEqual(['kept'])
    await connection.close()
  })
})

test('heal() ends them all, and what is no fault is said', async () => {
  const { faults } = broker
  const all = [faults.dropResponses(9), faults.delayResponses(9), faults.refuseConnections(), faults.failDisk('full')]
  faults.heal()
  const producer = await openProducer(0)
  await send(producer, 'first')
  await producer.disconnect()
  expect(all.map(({ hits }) => hits)).toEqual([0, 0, 0, 0])
  expect(() => faults.dropResponses(1.5)).toThrow('count: 1.5 is no whole number')
  expect(() => faults.dropResponses(1, { name: 'produce' })).toThrow('"produce" is no answer')
  expect(() => faults.dropResponses(1, { protocol: 'amqp', name: 'Produce' })).toThrow('"Produce" is no answer')
  expect(() => faults.dropResponses(1, { nam: 'Produce' } as object)).toThrow('"nam" is no option of this fault')
  expect(() => faults.delayResponses(1, { thenDisconnect: true } as object)).toThrow('"thenDisconnect" is no option')
  expect(() => faults.dropResponses(1, 'Produce' as unknown as object)).toThrow('is no option of this fault')
  expect(() => faults.disconnect('mqtt' as 'amqp')).toThrow('"mqtt" is no protocol')
  expect(() => faults.delayResponses(-1)).toThrow('byMs: -1')
  expect(() => faults.failDisk('wet' as 'full')).toThrow('"wet" is no fault of a disk')
})
