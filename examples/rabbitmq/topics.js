// A topic exchange: routing keys are words between dots, and a binding is a pattern of them: * is one word, # any
// number of them, none included. node examples/rabbitmq/topics.js [URL]
import amqp from 'amqplib'

const connection = await amqp.connect(process.argv[2] ?? process.env.AMQP_URL ?? 'amqp://127.0.0.1')
const channel = await connection.createConfirmChannel()
await channel.assertExchange('sensors', 'topic', { durable: true })

const patterns = { 'every.temperature': '*.temperature', 'all.of.the.kitchen': 'kitchen.#' }
for (const [queue, pattern] of Object.entries(patterns)) {
  await channel.assertQueue(queue, { durable: true })
  await channel.bindQueue(queue, 'sensors', pattern)
}

const values = {
  'kitchen.temperature': '21',
  'bath.temperature': '24',
  'kitchen.door.locked': 'yes',
  'bath.door': 'open',
}
for (const [key, value] of Object.entries(values)) channel.publish('sensors', key, Buffer.from(value))
await channel.waitForConfirms()

for (const queue of Object.keys(patterns)) {
  for (let message; (message = await channel.get(queue)) !== false;) {
    console.log(`${queue}: ${message.fields.routingKey} = ${message.content}`)
    channel.ack(message)
  }
}
await channel.close()
await connection.close()
