// One name for both worlds: shops write a topic with a Kafka client, workers take the queue of that name with a
// RabbitMQ client and try again what fails, what keeps failing is a topic again, and an auditor replays it all:
//   kafkajs ──▶ shop.orders ──▶ amqplib, ack one by one ──rejected too often──▶ shop.orders.dead ──▶ kafkajs
// No bridge, no copy of what is worked off. node examples/order-pipeline.js [HOST:PORT] [URL]
import { Kafka, logLevel } from 'kafkajs'
import amqp from 'amqplib'

const brokers = [process.argv[2] ?? process.env.KAFKA ?? '127.0.0.1:9092']
const kafka = new Kafka({ clientId: 'shop', brokers, logLevel: logLevel.ERROR })
const url = process.argv[3] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1'

// Orders come in through Kafka: the topic is there before any queue is.
const admin = kafka.admin()
await admin.connect()
await admin.createTopics({ topics: [{ topic: 'shop.orders' }, { topic: 'shop.orders.dead' }] })
await admin.disconnect()
const producer = kafka.producer()
await producer.connect()
await producer.send({
  topic: 'shop.orders',
  messages: ['good-1', 'flaky-1', 'broken-1', 'good-2'].map((order) => ({ key: `customer-${order}`, value: order })),
})
await producer.disconnect()

// Workers: declaring the queue makes the topic one, from its first record on.
const connection = await amqp.connect(url)
const channel = await connection.createChannel()
await channel.assertQueue('shop.orders', {
  arguments: {
    'x-delivery-limit': 2,
    'x-delayed-retry-type': 'failed',
    'x-delayed-retry-min': 100,
    'x-dead-letter-topic': 'shop.orders.dead',
  },
})
await channel.prefetch(10)

/** What an order is about: flaky ones succeed the third time, broken ones never. */
function work(order, attempt) {
  if (order.startsWith('broken') || (order.startsWith('flaky') && attempt < 3)) throw new Error(`${order} failed`)
}

let left = 3
const { promise: worked, resolve: allWorked } = deferred()
await channel.consume('shop.orders', (message) => {
  const order = message.content.toString()
  const attempt = 1 + (message.properties.headers['x-delivery-count'] ?? 0)
  try {
    work(order, attempt)
    console.log(`done: ${order} of ${message.fields.routingKey}, attempt ${attempt}`)
    channel.ack(message)
    if (--left === 0) allWorked()
  } catch {
    channel.reject(message, true)
  }
})
await worked
// What is dead is a topic: support reads it with any Kafka client, and knows which record it was.
await read('support', 'shop.orders.dead', 1, ({ value, headers }) => {
  console.log(`dead: ${value}, offset ${headers['x-source-offset']} of ${headers['x-source-topic']}`)
})
// And the orders are still there: a group replays the topic whoever worked them off.
await read('auditors', 'shop.orders', 4, ({ key, value }) => console.log(`replayed: ${value} of ${key}`))
await connection.close()

async function read(groupId, topic, count, see) {
  const consumer = kafka.consumer({ groupId })
  const { promise, resolve } = deferred()
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => (see(message), --count === 0 && resolve()) })
  await promise
  await consumer.disconnect()
}

function deferred() {
  let resolve
  const promise = new Promise((done) => (resolve = done))
  return { promise, resolve }
}
