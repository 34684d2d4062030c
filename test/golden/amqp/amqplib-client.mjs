// Drives amqplib through all that it can say: captured by capture.ts. Usage: amqplib-client.mjs PORT; prints its version.
// Promises: leaves no queue and no exchange behind.
// Does not know: who listens.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'amqplib'

const url = `amqp://guest:guest@127.0.0.1:${process.argv[2]}?heartbeat=0&frameMax=131072`
const connection = await connect(url, { clientProperties: { connection_name: 'golden' } })
const channel = await connection.createChannel()
const q = 'golden-amqplib'

await channel.assertExchange(q, 'direct', { durable: true, alternateExchange: 'amq.fanout' })
await channel.assertExchange(`${q}-other`, 'fanout', { durable: false, autoDelete: true })
await channel.checkExchange(q)
await channel.bindExchange(`${q}-other`, q, 'key', { a: 1 })
await channel.unbindExchange(`${q}-other`, q, 'key', { a: 1 })
await channel.assertQueue(q, { durable: true, messageTtl: 60000, maxLength: 1000, deadLetterExchange: 'amq.fanout' })
await channel.checkQueue(q)
await channel.bindQueue(q, q, 'key', {})
await channel.assertQueue('', { exclusive: true })

const headers = {
  text: 'grün',
  yes: true,
  small: 7,
  byte: 100,
  short: 1000,
  int: 100_000,
  negative: -7,
  large: 2 ** 40,
  half: 0.5,
  none: null,
  list: [1, 'two', [3]],
  table: { inner: { innermost: 1 } },
  float: { '!': 'float', value: 0.5 },
  int64: { '!': 'int64', value: 5 },
  int8: { '!': 'int8', value: -5 },
  decimal: { '!': 'decimal', value: { places: 2, digits: 314 } },
  time: { '!': 'timestamp', value: 1_767_323_045 },
  bytes: Buffer.from([0xff, 0]),
}
const everything = {
  contentType: 'text/plain',
  contentEncoding: 'utf-8',
  headers,
  persistent: true,
  priority: 9,
  correlationId: 'correlation',
  replyTo: 'reply',
  expiration: '60000',
  messageId: 'message',
  timestamp: 1_767_323_045,
  type: 'kind',
  userId: 'guest',
  appId: 'app',
}
channel.publish(q, 'key', Buffer.from('Order: #12345'), everything)
channel.sendToQueue(q, Buffer.alloc(0))
channel.sendToQueue(q, Buffer.alloc(300, 'x'))

await channel.get(q, { noAck: true })
await channel.prefetch(10)
await channel.prefetch(20, true)
channel.reject(await channel.get(q), true)
const messages = []
const arrived = new Set()
const waiting = (count) =>
  new Promise((resolve) => (messages.length >= count ? resolve() : arrived.add({ count, resolve })))
await channel.consume(
  q,
  (message) => {
    messages.push(message)
    for (const { count, resolve } of arrived) if (messages.length >= count) resolve()
  },
  { consumerTag: 'golden' },
)
await waiting(2)
channel.nack(messages[0])
await waiting(3)
channel.ack(messages[2], true)
await channel.cancel('golden')
await channel.recover()
await channel.get(q)

const confirming = await connection.createConfirmChannel()
confirming.sendToQueue(q, Buffer.from('confirmed'), { persistent: true })
confirming.publish('', `${q}-nobody`, Buffer.from('returned'), { mandatory: true })
await confirming.waitForConfirms()

const failing = await connection.createChannel()
failing.on('error', () => {})
const closed = new Promise((resolve) => failing.on('close', resolve))
await failing.checkQueue(`${q}-missing`).catch(() => {})
await closed

await channel.unbindQueue(q, q, 'key', {})
await channel.purgeQueue(q)
await channel.deleteQueue(q, { ifUnused: false })
await channel.deleteExchange(q)
await channel.close()
await connection.close()
const entry = createRequire(import.meta.url).resolve('amqplib')
const folder = entry.slice(0, entry.lastIndexOf('/amqplib/') + '/amqplib/'.length)
console.log(JSON.parse(readFileSync(`${folder}package.json`, 'utf8')).version)
