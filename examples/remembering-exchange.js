// An exchange that remembers: what is published to it is kept as a topic, so that who comes late can be given what was
// before, and goes on with what comes. Whoever knows Kafka writes to it as well and reads it as the topic that it is.
//   amqplib, kafkajs ──▶ sensors (exchange and topic) ──▶ queues bound at any time, from any time on
// node examples/remembering-exchange.js [HOST:PORT] [URL]
import amqp from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'

const brokers = [process.argv[2] ?? process.env.KAFKA ?? '127.0.0.1:9092']
const url = process.argv[3] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1'
const connection = await amqp.connect(url)
const channel = await connection.createConfirmChannel()
await channel.assertExchange('sensors', 'x-log')

// Nobody is bound, and nothing is lost.
channel.publish('sensors', 'kitchen.temperature', Buffer.from('21'))
channel.publish('sensors', 'kitchen.door', Buffer.from('open'))
channel.publish('sensors', 'bath.temperature', Buffer.from('24'))
await channel.waitForConfirms()

// A record of Kafka's clients is routed by its key.
const kafka = new Kafka({ brokers, logLevel: logLevel.ERROR })
const producer = kafka.producer()
await producer.connect()
await producer.send({ topic: 'sensors', messages: [{ key: 'attic.temperature', value: '17' }] })

// Late, and told everything all the same: a binding says from where on. Others begin with what comes next.
await channel.assertQueue('temperatures')
await channel.bindQueue('temperatures', 'sensors', '*.temperature', { 'x-stream-offset': 'first' })
await channel.assertQueue('news')
await channel.bindQueue('news', 'sensors', '#')
await producer.send({ topic: 'sensors', messages: [{ key: 'cellar.temperature', value: '9' }] })
await producer.disconnect()

await take('temperatures', 4)
await take('news', 1)
// Without this the next run would find all that the exchange remembers.
for (const queue of ['temperatures', 'news']) await channel.deleteQueue(queue)
await channel.deleteExchange('sensors')
await connection.close()

/** So many messages of a queue. */
async function take(queue, count) {
  const all = deferred()
  const { consumerTag } = await channel.consume(queue, (message) => {
    console.log(`${queue}: ${message.fields.routingKey} = ${message.content}`)
    channel.ack(message)
    if (--count === 0) all.resolve()
  })
  await all.promise
  await channel.cancel(consumerTag)
}

function deferred() {
  let resolve
  const promise = new Promise((done) => (resolve = done))
  return { promise, resolve }
}
