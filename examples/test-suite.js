// A test suite on a whole broker, started in the tests' own process: no container, no mock, no port to agree on. Time is
// the test's own, so that an hour's deadline takes a millisecond. node --test examples/test-suite.js
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { afterEach, beforeEach, test } from 'node:test'
import amqp from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import { startBroker } from 'odradek'

/** What is tested: takes orders off the queue, writes an invoice for each into a topic; who does not pay is reminded. */
async function startBilling({ kafka, amqp: url }) {
  const producer = new Kafka({ brokers: [kafka], logLevel: logLevel.ERROR }).producer({ idempotent: true })
  const connection = await amqp.connect(url)
  const channel = await connection.createChannel()
  await producer.connect()
  await channel.assertQueue('reminders')
  await channel.assertQueue('unpaid', {
    messageTtl: 3_600_000,
    deadLetterExchange: '',
    deadLetterRoutingKey: 'reminders',
  })
  await channel.assertQueue('orders')
  await channel.consume('orders', async (message) => {
    const { id, cents } = JSON.parse(message.content.toString())
    await producer.send({ topic: 'invoices', messages: [{ key: id, value: JSON.stringify({ id, cents }) }] })
    channel.sendToQueue('unpaid', Buffer.from(id))
    channel.ack(message)
    connection.emit('billed', id)
  })
  return { connection, stop: () => Promise.all([producer.disconnect(), connection.close()]) }
}

let broker
let billing
beforeEach(async () => {
  broker = await startBroker({ clock: 'virtual' })
  billing = await startBilling(broker)
})
afterEach(async () => {
  await billing.stop()
  await broker.close()
})

const order = (id) => ({ key: id, value: JSON.stringify({ id, cents: 1990 }) })

test('an order becomes one invoice', async () => {
  const billed = once(billing.connection, 'billed')
  await broker.topics.produce('orders', order('o-1'))
  assert.deepEqual(await billed, ['o-1'])
  const [invoice, ...more] = await broker.topics.records('invoices')
  assert.deepEqual([invoice.key, JSON.parse(invoice.value), more], ['o-1', { id: 'o-1', cents: 1990 }, []])
})

test('one invoice also when the network loses the answer', async () => {
  const lost = broker.faults.dropResponses(1, { name: 'Produce', thenDisconnect: true })
  const billed = once(billing.connection, 'billed')
  await broker.topics.produce('orders', order('o-2'))
  await billed
  assert.deepEqual([lost.hits, (await broker.topics.records('invoices')).length], [1, 1])
})

test('who has not paid after an hour is reminded', async () => {
  const billed = once(billing.connection, 'billed')
  await broker.topics.produce('orders', order('o-3'))
  await billed
  await broker.clock.advance('59m')
  assert.equal((await broker.queues.counts('reminders')).ready, 0)
  await broker.clock.advance('1m')
  assert.equal((await broker.queues.counts('reminders')).ready, 1)
})
